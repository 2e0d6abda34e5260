"""Writes the files that are named as C++: embed.py OUT FILE..."""

import hashlib
import pathlib
import sys

out, *files = sys.argv[1:]
entries, arrays = [], []
for number, path in enumerate(map(pathlib.Path, sorted(files))):
    content = path.read_bytes()
    bytes_ = ",".join(str(byte - 256 if byte > 127 else byte) for byte in content)
    arrays.append(f"constexpr char kFile{number}[] = {{{bytes_}}};")
    version = hashlib.sha256(content).hexdigest()[:16]
    entries.append(f'    {{"{path.name}", "{version}", {{kFile{number}, sizeof(kFile{number})}}}},')
pathlib.Path(out).write_text("\n".join([
    '#include "tools/gateway/web/assets.h"', "", "namespace countersign::gateway {", "namespace {", "", *arrays, "",
    "constexpr Asset kAssets[] = {", *entries, "};", "", "}  // namespace", "",
    "const Asset* FindAsset(absl::string_view name) {", "  for (const Asset& asset : kAssets) {",
    "    if (asset.name == name) return &asset;", "  }", "  return nullptr;", "}", "",
    "}  // namespace countersign::gateway", ""]), encoding="utf-8")
