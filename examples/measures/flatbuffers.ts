import { writeFileSync } from 'node:fs'
import type { Measure } from '../../bench/measure'
import { firstAnswer, readOrMapped } from './first-answer'

const HOURS = 8760

export const flatbuffers: Measure = firstAnswer(
  {
    name: 'flatbuffers',
    title: 'FlatBuffers: the warmest hour of one station in 210 MB',
    about:
      '6,000 stations with the temperatures of a year. One is found by its key, and its numbers are looked at.',
    async prepare({ pick, newFile }) {
      const { buildArchive } = await import('../support/weather.js')
      const file = newFile('weather.bin')
      writeFileSync(file, buildArchive(pick(6000, 500, 10), HOURS))
      return { count: 1, files: { file } }
    },
  },
  readOrMapped(async () => {
    const { openArchive } = await import('../flatbuffers.js')
    return (bytes) => {
      const archive = openArchive(bytes)
      const temperatures = archive.find(Math.floor(archive.length / 3) * 10)?.temperatures ?? []
      return { result: Math.max(...temperatures), keep: archive }
    }
  }),
)
