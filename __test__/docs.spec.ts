/** The documentation: its code is of names and options that exist, and runs; all that there is is told of; its links lead somewhere. */
import test, { type ExecutionContext } from 'ava'
import * as fs from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'
import { tableFromArrays, tableToIPC } from 'apache-arrow'
import initSqlJs = require('sql.js')
import * as mmapNative from 'mmap-native'
import { makeDatabase } from '../examples/sqlite'
import { writeTiles } from '../examples/support/tiles'
import { buildArchive } from '../examples/support/weather'
import { root, runScript } from './support/child'

const pages = ['README.md', ...fs.readdirSync(join(root, 'docs')).map((file) => join('docs', file))].filter(
  (page) => page.endsWith('.md'),
)
const textOf = (page: string) => fs.readFileSync(join(root, page), 'utf8')

/** A block of JavaScript or TypeScript. */
interface Block {
  /** The page, and the line at which it starts. */
  where: string
  code: string
  /** The folder that it runs in, and its file there. */
  folder: string
  file: string
}

const scratch = fs.mkdtempSync(join(tmpdir(), 'mmap-native-docs-'))
// What recipes import besides.
fs.symlinkSync(join(root, 'node_modules'), join(scratch, 'node_modules'), 'junction')
test.after.always(() => fs.rmSync(scratch, { recursive: true, force: true }))

function blocksOf(page: string): Block[] {
  const text = textOf(page)
  return [...text.matchAll(/^```(?:js|ts)\n(.*?)^```$/gms)].map(({ index, 1: code = '' }) => {
    const line = text.slice(0, index).split('\n').length
    const folder = join(scratch, `${page.replaceAll(/\W/g, '-')}-${line}`)
    return { where: `${page}:${line}`, code, folder, file: join(folder, 'block.mts') }
  })
}

/** What examples use and leave to the reader to make; each may use those before it. */
const LEFT_OUT = {
  Mapping: "import { Mapping } from 'mmap-native'",
  pageSize: "import { pageSize } from 'mmap-native'",
  spawn: "import { spawn } from 'node:child_process'",
  Worker: "import { Worker } from 'node:worker_threads'",
  pipeline: "import { pipeline } from 'node:stream/promises'",
  hash: "import { createHash } from 'node:crypto'\nconst hash = createHash('sha256')",
  response:
    "import { Writable } from 'node:stream'\nconst response = new Writable({ write: (_1, _2, then) => then() })",
  mapping: "const mapping = Mapping.open('mapping.bin', { access: 'write' })",
  log: "const log = Mapping.open('log.bin', { access: 'write' })",
  index: "const index = Mapping.open('index.bin')",
  keys: 'const keys = Mapping.anonymous(4096)',
  scratch: 'const scratch = Mapping.anonymous(4096)',
  handle: 'const handle = (record: Buffer) => record',
  rows: 'const rows = 3',
  columns: 'const columns = 2',
  Float16Array: 'const Float16Array = Uint16Array', // not in Node.js 20
}

/** Asks a server of an example for a range. */
const CLIENT = `
const { port } = server.address() as { port: number }
const answer = await fetch(\`http://localhost:\${port}/\`, { headers: { range: 'bytes=64-69' } })
assert.deepEqual([answer.status, await answer.text()], [206, 'needle'])
server.close()`

/** Files that have to be what their names say; all others have lines in them. */
const FILES: Record<string, (path: string) => void | Promise<void>> = {
  'country.mmdb': (path) => fs.copyFileSync(join(COUNTRIES, 'iptoasn-country-ipv4.mmdb'), path),
  'year.arrow': (path) =>
    fs.writeFileSync(path, tableToIPC(tableFromArrays({ temperature: new Float64Array(100) }), 'file')),
  async 'numbers.parquet'(path) {
    const { parquetWriteBuffer } = await import('hyparquet-writer')
    const columnData = [{ name: 'root', data: [...Array(100).keys()] }]
    fs.writeFileSync(path, Buffer.from(parquetWriteBuffer({ columnData })))
  },
  async 'pages.sqlite'(path) {
    makeDatabase(await initSqlJs(), path, 10)
  },
  'weather.bin': (path) => fs.writeFileSync(path, buildArchive(10, 24)),
  'world.pmtiles': (path) => writeTiles(path, 5, 100),
}
const COUNTRIES = join(root, 'node_modules', '@ip-location-db', 'iptoasn-country-mmdb')
const made: (void | Promise<void>)[] = []
test.before('files that libraries read are made', () => Promise.all(made))

function nodesOf(node: ts.Node): ts.Node[] {
  const nodes = [node]
  node.forEachChild((child) => void nodes.push(...nodesOf(child)))
  return nodes
}

const nameOf = (node: ts.Node): string | undefined => {
  const name = (node as { name?: ts.Node }).name
  return name !== undefined && ts.isIdentifier(name) ? name.text : undefined
}

/** The program that a block is a part of. */
function programOf(code: string): string {
  const nodes = nodesOf(ts.createSourceFile('block.mts', code, ts.ScriptTarget.Latest, true))
  const declared = new Set(
    nodes
      .filter(
        (node) => ts.isVariableDeclaration(node) || ts.isImportSpecifier(node) || ts.isBindingElement(node),
      )
      .map(nameOf),
  )
  const used = new Set(
    nodes
      .filter((node) => ts.isIdentifier(node))
      .filter(({ parent }) => !ts.isPropertyAssignment(parent))
      .filter((node) => !(ts.isPropertyAccessExpression(node.parent) && node.parent.name === node))
      .map((node) => node.text),
  )
  // Those that are made of a Mapping need it, too.
  const free = Object.entries(LEFT_OUT).filter(([name]) => used.has(name) && !declared.has(name))
  const lines = free.map(([, line]) => line)
  const needsMapping = !declared.has('Mapping') && lines.some((line) => /= Mapping\./.test(line))
  if (needsMapping && !used.has('Mapping')) lines.unshift(LEFT_OUT.Mapping)
  // The other process of an example that waits.
  if (code.includes('mapping.waitAsync')) {
    lines.push('setTimeout(() => { Atomics.store(mapping.view(Int32Array), 0, 1); mapping.notify(0) }, 50)')
  }
  lines.push("import assert from 'node:assert'", '{')
  const after = code.includes('createServer(') ? [CLIENT] : []
  // A line that says which error it gives gives it. Sizes are smaller, and names are of this process.
  const body = code
    .replaceAll(/^(.*?) *\/\/ ((?:E|ERR_)[A-Z_]{3,})\b.*$/gm, "assert.throws(() => $1, { code: '$2' })")
    .replaceAll('1 << 30', '1 << 22')
    .replaceAll('listen(8080)', 'listen(0)')
    .replaceAll("'/my-service'", `'/my-service-${process.pid}'`)
  const imports = [...body.matchAll(/^import .*\n/gm)].map(([line]) => line)
  return [...imports, ...lines, body.replaceAll(/^import .*\n/gm, ''), ...after, '}'].join('\n')
}

/** Writes the program and the files that it names. */
function prepare({ code, folder, file }: Block): void {
  fs.mkdirSync(join(folder, 'node_modules'), { recursive: true })
  fs.symlinkSync(root, join(folder, 'node_modules', 'mmap-native'), 'junction')
  const content = Buffer.alloc(1 << 20, '\n'.padStart(4096, 'x'))
  content.fill(0, 0, 64).write('needle', 64)
  const named = [...code.matchAll(/open\w*\('([^']+)'/g)].map(([, name = '']) => name)
  for (const name of ['mapping.bin', 'log.bin', 'index.bin', ...named]) {
    const path = join(folder, name)
    const make = FILES[name]
    if (make === undefined) fs.writeFileSync(path, content)
    else made.push(make(path))
  }
  for (const name of named) {
    const [, end] = /read\((\d_000_000_000), 100\)/.exec(code) ?? []
    if (end !== undefined) fs.truncateSync(join(folder, name), Number(end.replaceAll('_', '')) + 100)
  }
  // A second file, as a comment of the block.
  for (const [, name = '', text = ''] of code.matchAll(/^\/\/ (\w+\.js): (.*)$/gm)) {
    const given =
      "const { Mapping } = require('mmap-native')\nconst { workerData } = require('worker_threads')\n"
    fs.writeFileSync(join(folder, name), `${given}${text}\nmapping.read(0, 1)\n`)
  }
  fs.writeFileSync(file, programOf(code))
}

const blocks = pages.flatMap(blocksOf)
blocks.forEach(prepare)

const program = ts.createProgram({
  rootNames: blocks.map(({ file }) => file),
  options: {
    module: ts.ModuleKind.Node16,
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    typeRoots: [join(root, 'node_modules', '@types')],
    types: ['node'],
    strict: true,
    noImplicitAny: false, // of parameters in JavaScript
    skipLibCheck: true,
    noEmitOnError: false,
  },
})
program.emit()
const problems = ts.getPreEmitDiagnostics(program)

test('there is code to check', (t) => {
  t.true(blocks.length > 15)
  t.deepEqual(
    problems.filter(({ file }) => file === undefined).map(({ messageText }) => messageText),
    [],
  )
})

for (const { where, folder, file } of blocks) {
  test.serial(`${where}: what it uses exists, and it runs`, async (t) => {
    const own = problems.filter((one) => one.file?.fileName === file)
    t.deepEqual(
      own.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' ')),
      [],
    )
    if (process.platform !== 'linux') return // examples are of all that there is
    const compiled = pathToFileURL(join(folder, 'block.mjs')).href
    const script = `process.chdir(${JSON.stringify(folder)}); import(${JSON.stringify(compiled)})`
    const { code, signal, stderr } = await runScript(script, { nodeArgs: ['--no-warnings'] })
    t.deepEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
  })
}

const types = ts.createSourceFile('index.d.ts', textOf('index.d.ts'), ts.ScriptTarget.Latest, true)
const mappingClass = types.statements.find(
  (one): one is ts.ClassDeclaration => ts.isClassDeclaration(one) && one.name?.text === 'Mapping',
)
const members = (mappingClass?.members ?? []).filter((member) => nameOf(member) !== undefined)
const optionTypes = types.statements
  .filter((one) => ts.isInterfaceDeclaration(one))
  .filter(({ name }) => name.text.endsWith('Options'))

test('docs/api.md tells of every member of Mapping, every function and every option', (t) => {
  const api = textOf('docs/api.md')
  const isTold = (name: string | undefined) =>
    t.true(name !== undefined && new RegExp(`\\b${name}\\b`).test(api), name)
  t.true(members.length > 40)
  for (const member of members) isTold(nameOf(member))
  for (const [name, value] of Object.entries(mmapNative)) if (typeof value === 'function') isTold(name)
  for (const one of optionTypes) {
    for (const node of nodesOf(one)) if (ts.isPropertySignature(node)) isTold(nameOf(node))
  }
})

test('index.d.ts says what each member of Mapping and each option is: editors show it', (t) => {
  const isTold = (node: ts.Node) => ts.getJSDocCommentsAndTags(node).length > 0
  // Of overloads, the first one.
  const told = new Set(members.filter(isTold).map(nameOf))
  for (const member of members) t.true(told.has(nameOf(member)), nameOf(member))
  for (const { name, members } of optionTypes) {
    for (const member of members) t.true(isTold(member), `${name.text}.${nameOf(member)}`)
  }
})

/** The codes in the first column of the tables of docs/errors.md. */
const described = [...textOf('docs/errors.md').matchAll(/^\| (`[^|]*) \|/gm)].flatMap(({ 1: cell = '' }) =>
  [...cell.matchAll(/`(\w+)`/g)].map(([, code = '']) => code),
)

/** The sources of the library, of TypeScript and of Rust. */
function sources(): string {
  const files = ['src', 'crates/core/src', 'crates/node/src'].flatMap((folder) =>
    fs
      .readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => /\.(ts|rs)$/.test(file) && !/^cli\b/.test(file))
      .map((file) => join(folder, file)),
  )
  return files.map(textOf).join('\n')
}

const codesOf = (text: string, pattern: RegExp) => [...new Set(text.match(pattern))].toSorted()

test('docs/errors.md describes every code of the package, and none that there is not', (t) => {
  // Codes of Node.js that are looked for are told of beside those that they lead to.
  const own = [...codesOf(sources(), /\b(?:ERR_[A-Z_]*[A-Z]|ABORT_ERR)\b/g)].filter(
    (one) => one !== 'ERR_DLOPEN_DISABLED',
  )
  t.true(own.length > 8)
  t.deepEqual(described.filter((code) => code.includes('ERR')).toSorted(), own)
})

test('docs/errors.md describes every code of the system that the documentation names, and none that there is not', (t) => {
  const system = described.filter((code) => !code.includes('ERR'))
  t.is(new Set(system).size, system.length)
  for (const code of system) t.true(code in constants.errno, code)
  const texts = ['index.d.ts', ...pages.filter((page) => !page.endsWith('errors.md'))].map(textOf).join('\n')
  const named = codesOf(texts, /\bE[A-Z]{2,}\b/g).filter((code) => code in constants.errno)
  t.true(named.length > 15)
  for (const code of named) t.true(system.includes(code), code)
  // Others come from calls of the system that are passed on as they are.
  const calls = ['EBADF', 'EISDIR', 'ELOOP', 'ENAMETOOLONG', 'ENFILE', 'ENOTDIR', 'EROFS', 'ETXTBSY']
  const known = new Set([...named, ...calls])
  for (const code of system) t.true(known.has(code), code)
})

/** The anchors of a page, as GitHub makes them of its headings. */
function anchorsOf(page: string): string[] {
  return [...textOf(page).matchAll(/^#+ (.*)$/gm)].map(({ 1: heading = '' }) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )
}

for (const page of pages) {
  test(`the links of ${page} lead somewhere`, (t: ExecutionContext) => {
    for (const { 1: link = '' } of textOf(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(link)) continue
      const [path = '', anchor] = link.split('#')
      const target = path === '' ? page : join(page, '..', path)
      t.notThrows(() => textOf(target), link)
      if (anchor !== undefined) t.true(anchorsOf(target).includes(anchor), link)
    }
    t.pass()
  })
}
