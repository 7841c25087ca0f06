/** For `--require`: faults are not caught in this process. */
import { setFaultGuard } from 'mmap-native'

setFaultGuard(false)
