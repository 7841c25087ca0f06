/**
 * What the examples cost, with a mapping and without: see `examples/README.md`.
 *
 *   npm run examples -- --measure [--quick] [--node NAME] [--out FOLDER] [name...]
 *   npm run examples -- --measure --render
 *
 * A name is that of a measure, or the part of it before the `/`. `--quick` takes small files, and leaves the committed figures alone;
 * `--render` measures nothing and writes the tables anew.
 */
import { main } from '../bench/command'
import { measures } from './measures'

main({ measures, module: require.resolve('./measures'), folder: 'examples' })
