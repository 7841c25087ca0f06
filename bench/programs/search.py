"""Searches a mapped file with Python's mmap.

   search.py find|lines FILE NEEDLE SIZE
"""
import json
import mmap
import sys
import time


def say(what):
    print(json.dumps(what), flush=True)


def main():
    kind, path, needle, size = sys.argv[1:]
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    size = int(size)
    needle = needle.encode()
    say({"ready": True})
    for _ in sys.stdin:
        start = time.perf_counter_ns()
        if kind == "find":
            result = mapped.find(needle)
        else:
            mapped.seek(0)
            result = 0
            for line in iter(mapped.readline, b""):
                result += len(line) - 1
        ns = time.perf_counter_ns() - start
        say({"result": result, "figures": {"ns": ns, "rate": size / ns * 1e9}})


main()
