/** The native addon. Every other file gets it from here. */
import type * as Binding from '../native/binding'

function load(): typeof Binding {
  try {
    return require('../native/binding.js') as typeof Binding
  } catch (cause) {
    const platform = `${process.platform}-${process.arch}`
    throw new Error(`mmap-native has no binary that loads on ${platform}: ${(cause as Error).message}`, {
      cause,
    })
  }
}

export const native = load()
export type Handle = ReturnType<typeof native.mappingAnonymous>
