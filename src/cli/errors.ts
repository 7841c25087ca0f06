/** What is said of an error: as other programs of Unix do, without the code. */

/** The command line cannot be understood. */
export class Usage extends Error {}

/** Whether the command line was wrong, as `parseArgs()` says it, too. */
export function isUsage(error: unknown): boolean {
  return error instanceof Usage || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS_')
}

/** The message of an error: of a system error without its code, the call and the file, which is named before it. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code, syscall, path, message } = error as NodeJS.ErrnoException
  const text = [`${code}: `, `, ${syscall}`, ` '${path}'`].reduce(
    (rest, part) => rest.replace(part, ''),
    message,
  )
  // What comes behind is advice to programmers, and a list of what required what.
  return text.split(isUsage(error) ? '. ' : '\n')[0] as string
}
