// Writes docs/api.md from the doc comments of index.d.ts. Fails if something that is exported has no comment, or no place on the page.
//
//   node scripts/api.mjs

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What each section tells of, in order. A method brings the types of its options with it. */
const SECTIONS = {
  'Making a mapping':
    'Mapping open anonymous shared unlinkShared memfd seal seals fd share attach MappingToken',
  'What a mapping is': 'length offset access path address closed stat statSync MappingStat',
  'Its bytes, without a copy': 'bytes buffer dataView view',
  'Copying in and out': 'read write fill copyWithin',
  Searching: 'indexOf lastIndexOf includes count find',
  'Reading on': '[Symbol.iterator] chunks lines createReadStream',
  'Storing what was written': 'flush flushSync',
  'Growing, shrinking, protecting': 'resize protect',
  'Pages and memory': 'prefetch advise supports lock unlock residency Residency ByteRange evict Eviction',
  'Waiting across threads and processes': 'wait waitAsync notify',
  'The end, and faults':
    'unmap [Symbol.dispose] faults Faults Fault FaultKind refresh isFaultGuarded setFaultGuard',
  'The binary that was loaded': 'nativeBinary NativeBinary',
  Types:
    'Access Views HugePageSize Seal Advice FlushMode WaitResult ViewConstructor SystemError MappingFaultError',
  'The POSIX calls':
    'mmap munmap mprotect msync madvise mlock munlock mincore mremap bufferFromPointer pageSize Pointer constants',
}

const INTRO = `# The API

Made from the doc comments, which editors show, too: [\`index.d.ts\`](../index.d.ts) has the same with all types. Every length, offset and position is in
bytes, a number or a bigint. Errors are Node's kind: system errors have \`code\`, \`errno\`, \`syscall\` and \`path\`, bad arguments are
\`ERR_INVALID_ARG_TYPE\`, \`ERR_INVALID_ARG_VALUE\` and \`ERR_OUT_OF_RANGE\`. Where nothing is said of platforms, all have it;
[platforms.md](platforms.md) says what differs.

The examples have \`import { Mapping } from 'mmap-native'\` before them. \`using\` calls \`unmap()\` at the end of its block, in Node.js 24, Bun, Deno and
TypeScript 5.2; elsewhere write \`const\`, and \`mapping.unmap()\` in a \`finally\`.`

const POSIX = `As in their man pages: where those have -1 and \`errno\`, a system error is thrown. Addresses are bigints, and of memory that this package mapped;
memory of others is \`EPERM\`. \`mapping.address\` is the address of a Mapping for them.`

const source = ts.createSourceFile(
  'index.d.ts',
  readFileSync(join(root, 'index.d.ts'), 'utf8'),
  ts.ScriptTarget.Latest,
  true,
)
const fail = (message) => {
  throw new Error(message)
}

const isExported = (node) => node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)
const isPrivate = (node) =>
  ts.isConstructorDeclaration(node) || ts.isPrivateIdentifier(node.name) || /@internal/.test(commentOf(node))
const nameOf = (node) =>
  (ts.isVariableStatement(node) ? node.declarationList.declarations[0] : node).name.getText()

function commentOf(node) {
  const [start, end] = [node.getStart(source, true), node.getStart()]
  return source.text.slice(start, end)
}

/** What is told by name, each with its declarations: more than one if it is overloaded. */
const told = new Map()
/** PROT_READ and so on. */
const numbers = []
for (const node of source.statements.filter(isExported)) {
  if (ts.isExportDeclaration(node)) continue
  if (/^[A-Z0-9_]+$/.test(nameOf(node))) numbers.push(node)
  else told.set(nameOf(node), [...(told.get(nameOf(node)) ?? []), node])
  if (!ts.isClassDeclaration(node)) continue
  for (const member of node.members.filter((member) => !isPrivate(member)))
    told.set(nameOf(member), [...(told.get(nameOf(member)) ?? []), member])
}

const isType = (node) => ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)

/** As a program would write it. */
function titleOf(name) {
  const [node] = told.get(name) ?? fail(`nothing is called ${name}`)
  if (ts.isInterfaceDeclaration(node)) return `interface ${name}`
  if (ts.isTypeAliasDeclaration(node)) return `type ${name}`
  if (ts.isClassDeclaration(node)) return `class ${name}`
  const isStatic = node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword)
  const owner = !ts.isClassElement(node) ? '' : isStatic ? 'Mapping' : 'mapping'
  const isCalled = ts.isMethodDeclaration(node) || ts.isFunctionDeclaration(node)
  return `${owner}${owner === '' || name.startsWith('[') ? '' : '.'}${name}${isCalled ? '()' : ''}`
}

/** As GitHub makes them of headings. */
const anchorOf = (title) =>
  title
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')

/** Where types of options are told, by their name: with the method that takes them. */
const homes = new Map()
const optionsOf = (nodes) => [
  ...new Set(
    nodes
      .flatMap((node) => node.parameters ?? [])
      .flatMap(({ type }) => type.getText().match(/\w+Options\b/) ?? []),
  ),
]

function link(name, text) {
  const [node] = told.get(name) ?? fail(`there is no ${name} to link to`)
  const title = titleOf(homes.get(name) ?? name)
  const shown = isType(node) ? name : title.replace(/^mapping\./, '')
  return `[${text ?? `\`${shown}\``}](#${anchorOf(title)})`
}

/** Links to other places of the page, and of the repository. */
const linked = (text) =>
  text
    .replaceAll(/\{@link (?:Mapping\.)?([\w]+)(?: ([^}]+))?\}/g, (_, name, text) => link(name, text))
    .replaceAll(/\bdocs\/(\w+\.md)(#[\w-]+)?/g, '[$1]($1$2)')
    .replaceAll(/`(examples\/[\w-]+\.ts)`/g, '[`$1`](../$1)')

/** A comment: its text, and its tags in order. */
function docOf(node) {
  const lines = commentOf(node)
    .replace(/^\/\*\* ?|\s*\*\/\s*$/g, '')
    .split('\n')
    .map((line) => line.replace(/^ *\* ?/, ''))
  const parts = lines.join('\n').split(/^@(?=[a-z]+\b)/m)
  const [text = '', ...tags] = parts.map((part) => linked(part.trim()))
  return { text, tags: tags.map((tag) => /^(?<name>\w+)\s*(?<text>[^]*)$/.exec(tag).groups) }
}

const code = (text) => `\`${text}\``

const printer = ts.createPrinter({ removeComments: true, omitTrailingSemicolon: true })

/** The text of a declaration or of a type, on one line. */
function textOf(node) {
  ts.setEmitFlags(node, ts.EmitFlags.SingleLine)
  node.forEachChild(textOf)
  return printer
    .printNode(ts.EmitHint.Unspecified, node, source)
    .replaceAll(/\s+/g, ' ')
    .replaceAll('; }', ' }')
}

const typeCell = (type) => (told.has(type.getText()) ? link(type.getText()) : code(textOf(type)))

/** That of a property that may be left out says `undefined` for callers who pass one on; the page need not. */
function optionCell({ type, questionToken }) {
  if (!questionToken || !ts.isUnionTypeNode(type)) return typeCell(type)
  const types = type.types.filter(({ kind }) => kind !== ts.SyntaxKind.UndefinedKeyword)
  const [only, ...others] = types.map((one) => (ts.isParenthesizedTypeNode(one) ? one.type : one))
  return others.length === 0 ? typeCell(only) : code(types.map(textOf).join(' | '))
}

function table(head, rows) {
  const line = (cells) =>
    `| ${cells.map((cell) => cell.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** The properties of an interface, those that it inherits first. */
function propertiesOf(node) {
  const bases = (node.heritageClauses ?? []).flatMap(({ types }) =>
    types.flatMap((type) => told.get(type.getText()) ?? []),
  )
  return [...bases.flatMap(propertiesOf), ...node.members.filter((member) => ts.isPropertySignature(member))]
}

function properties(node, what) {
  const rows = propertiesOf(node).map((member) => {
    const { text } = docOf(member)
    if (text === '') fail(`${nameOf(node)}.${nameOf(member)} has no comment`)
    return [`\`${nameOf(member)}\``, optionCell(member), text]
  })
  return rows.length === 0 ? '' : table([what, 'type', ''], rows)
}

const LABELS = { returns: 'Returns', throws: 'Errors', platform: 'Platforms', see: 'See' }

function labelled({ name, text }) {
  const [, promised, rest] = /^(\((?:resolves to|rejects)\) )?([^]*)$/.exec(text)
  const label = promised === undefined ? LABELS[name] : name === 'returns' ? 'Resolves to' : 'Rejects with'
  return `**${label}:** ${rest.replaceAll(/\n */g, '\n').replace(/\.?$/, '.')}`
}

/** What a declaration says of itself. */
function signature(node) {
  if (ts.isTypeAliasDeclaration(node)) return code(textOf(node.type))
  const text = textOf(ts.isVariableStatement(node) ? node.declarationList.declarations[0] : node)
  const bare = text.replace(/^(?:(?:export|declare|function|static|readonly|get) )+/, '').replace(/;$/, '')
  return code(ts.isGetAccessor(node) ? bare.replace('()', '') : bare)
}

/** One comment, and the declarations that it is about. */
function entry(nodes) {
  const { text, tags } = docOf(nodes[0])
  const ofName = (...names) => tags.filter(({ name }) => names.includes(name))
  const signatures =
    ts.isClassDeclaration(nodes[0]) || ts.isInterfaceDeclaration(nodes[0]) ? [] : nodes.map(signature)
  const parameters = ofName('param').map(({ text }) => /^(\w+)\s+([^]*)$/.exec(text).slice(1))
  const parts = [
    signatures.length > 1 ? signatures.map((one) => `* ${one}`).join('\n') : signatures[0],
    text,
    ...ofName('example').map(({ text }) => text),
    parameters.length > 0 &&
      table(
        ['parameter', ''],
        parameters.map(([name, text]) => [`\`${name}\``, text]),
      ),
    ts.isInterfaceDeclaration(nodes[0]) && properties(nodes[0], 'property'),
    ...optionsOf(nodes).map((name) => properties(told.get(name)[0], 'option')),
    ...ofName('returns', 'throws', 'platform', 'see').map(labelled),
  ]
  return parts.filter(Boolean).join('\n\n')
}

/** All that is said of a name: overloads with a comment of their own are told one after the other. */
function section(name) {
  const groups = []
  for (const node of told.get(name)) {
    if (commentOf(node) !== '') groups.push([node])
    else (groups.at(-1) ?? fail(`${name} has no comment`)).push(node)
  }
  return [`### \`${titleOf(name)}\``, ...groups.map(entry)].join('\n\n')
}

/** The constants of the platforms, a line each. */
const constants = () =>
  table(
    ['constant', ''],
    numbers.map((node) => [code(nameOf(node)), docOf(node).text || fail(`${nameOf(node)} has no comment`)]),
  )

const sections = Object.entries(SECTIONS).map(([title, names]) => [title, names.split(' ')])
for (const name of sections.flatMap(([, names]) => names)) {
  for (const options of optionsOf(told.get(name) ?? fail(`${name} is not exported`)))
    if (!homes.has(options)) homes.set(options, name)
}
const placed = new Set([...sections.flatMap(([, names]) => names), ...homes.keys()])
for (const name of told.keys()) {
  // FlushSyncOptions are also a part of FlushOptions.
  if (!placed.has(name)) fail(`${name} has no place in docs/api.md: give it one in scripts/api.mjs`)
}

const contents = sections.map(
  ([title, names]) => `* [${title}](#${anchorOf(title)}): ${names.map((name) => link(name)).join(', ')}`,
)
const page = [INTRO, contents.join('\n')]
for (const [title, names] of sections) {
  page.push(`## ${title}`)
  if (title === 'The POSIX calls') page.push(POSIX)
  page.push(...names.map(section))
}
page.push(constants())
writeFileSync(join(root, 'docs/api.md'), `${page.join('\n\n')}\n`)
