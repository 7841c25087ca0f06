/**
 * What mappings cost, against everything else that could do the work: see `bench/README.md`.
 *
 *   npm run bench [-- [--quick] [--node NAME] [--out FOLDER] [name...]]
 *   npm run bench -- --render
 *
 * A name is that of a measure, or the part of it before the `/`. `--quick` takes less of everything, and leaves the committed figures alone;
 * `--render` measures nothing and draws tables and charts anew.
 */
import { main } from './command'
import { measures } from './measures'

main({ measures, module: require.resolve('./measures'), folder: 'bench' })
