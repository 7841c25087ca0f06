/** What is searched for. Each needle is once in a file of text, in its last line, in this order, and nowhere in a run of A. */
export const NEEDLES = {
  /** Bytes that are not in the text. */
  rare: 'NEEDLE',
  /** One byte that is not in the text. */
  byte: '#',
  /** 64 bytes that are all in the text. */
  long: 'thequickbrownfoxjumpsoverthelazydogandthenitrestsforawhileagain!'.replace('!', 's'),
  /** Found in a run of A only at its end. */
  repeated: 'AAAAB',
} as const
