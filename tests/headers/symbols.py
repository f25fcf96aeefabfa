#!/usr/bin/env python3
"""symbols.py <include folder> <libhakuban.so>: the library exports what the public headers declare, and nothing else."""

import pathlib
import re
import shutil
import subprocess
import sys

if not shutil.which("nm"):
    sys.exit(77)
declared = set()
for header in pathlib.Path(sys.argv[1]).rglob("*.h"):
    code = re.sub(r"/\*.*?\*/|^[ \t]*#.*?$", "", header.read_text(), flags=re.S | re.M)
    for declaration in re.findall(r"\bHAKUBAN_API\b([^;{]*);", code):
        declared.add(re.search(r"\b(hakuban_\w+)\s*\(", declaration).group(1))
listing = subprocess.run(["nm", "-D", "--defined-only", sys.argv[2]], check=True, text=True,
                         stdout=subprocess.PIPE).stdout
exported = {line.split()[-1] for line in listing.splitlines() if line.split()[-2] in "TDBRVW"}
for name in sorted(declared - exported):
    print(f"{name}() is declared but not in the library")
for name in sorted(exported - declared):
    print(f"{name} is in the library but in no public header")
sys.exit(1 if declared != exported else 0)
