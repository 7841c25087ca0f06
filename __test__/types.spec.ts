/** The types of index.d.ts, as programs that use the package meet them: what compiles, to what, and what does not. */
import test from 'ava'
import * as fs from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { root } from './support/child'

const folder = join(root, '__test__', 'types')
const right = join(folder, 'right.ts')
const wrong = join(folder, 'wrong.ts')
const types = join(root, 'index.d.ts')

/** A program of these files, as somebody compiles it who uses the package. */
function programOf(files: string[], options: ts.CompilerOptions = {}): ts.Program {
  return ts.createProgram({
    rootNames: files,
    options: {
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
      module: ts.ModuleKind.Node16,
      typeRoots: [join(root, 'node_modules', '@types')],
      types: ['node'],
      strict: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      skipLibCheck: true,
      ...options,
    },
  })
}

/** `line: code message` for each problem. */
function told(problems: readonly ts.Diagnostic[]): string[] {
  return problems.map(({ file, start = 0, code, messageText }) => {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1
    return `${line}: ${code} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`
  })
}

const program = programOf([right, wrong])
const problemsOf = (path: string) => {
  const file = program.getSourceFile(path)
  return told([...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)])
}

test('what the documentation says compiles, to the types that it says', (t) => {
  t.deepEqual(told(program.getGlobalDiagnostics()), [])
  t.deepEqual(problemsOf(right), [])
})

test('it compiles where an optional property must not be undefined unless its type says so', (t) => {
  const exact = programOf([right], { exactOptionalPropertyTypes: true })
  t.deepEqual(told(exact.getSemanticDiagnostics(exact.getSourceFile(right))), [])
})

test('what is wrong does not compile, for the reason that it is wrong', (t) => {
  const lines = fs.readFileSync(wrong, 'utf8').split('\n')
  const expected = lines.flatMap((text, index) => {
    const code = / \/\/ (\d+)$/.exec(text)?.[1]
    return code === undefined ? [] : [`${index + 1}: ${code}`]
  })
  t.true(expected.length > 80)
  const found = problemsOf(wrong).map((one) => one.split(' ', 2).join(' '))
  t.deepEqual(found, expected)
})

test('index.d.ts is right in itself, without the libraries of the newest target too', (t) => {
  // The compiler passes over what is declared only, unless it is told not to.
  const own = programOf([types], { lib: ['lib.es2022.d.ts'], skipLibCheck: false })
  const file = own.getSourceFile(types)
  t.truthy(file)
  t.deepEqual(told([...own.getSyntacticDiagnostics(file), ...own.getSemanticDiagnostics(file)]), [])
})
