"""Reads every export with pandas, pyarrow and datasets, and compares what they read with the JSON Lines.

    npm run build && python test/read_exports.py        needs pandas, pyarrow and datasets

Makes a run with the offline provider in a temporary folder, in which no model is asked. Prints a line for each reader, and
fails at the first difference.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

missing = []
for name in ("pandas", "pyarrow", "datasets"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
if missing:
    sys.exit(f"missing: {', '.join(missing)}; install them with pip install {' '.join(missing)}")

BIN = Path(__file__).parent.parent / "dist" / "main.js"
LAB = tempfile.TemporaryDirectory(prefix="datagen-exports-")
os.chdir(LAB.name)
# Before datasets is imported: it may ask no server, and keeps its cache here.
os.environ.update({"HF_HUB_OFFLINE": "1", "HF_HOME": str(Path(LAB.name) / "hub")})

import datasets  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

TEXTS = ["Guten Tag.", 'Sie rief: "Halt!"\r\nUnd\tschwieg,\n', "日本語 😀 é", "= 1 + 1", "NA", "null", " blanks ", "a\rb"]


def datagen(*args: str) -> None:
    done = subprocess.run(["node", str(BIN), *args], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"datagen {' '.join(args)} failed:\n{done.stderr}")


def same(reader: str, rows: list[dict], expected: list[dict]) -> None:
    """Compares rows value by value and type by type; NaN is null."""
    clean = [{k: None if isinstance(v, float) and v != v else v for k, v in row.items()} for row in rows]
    if [list(row) for row in clean] != [list(row) for row in expected]:
        sys.exit(f"{reader}: the columns differ")
    for number, (row, wanted) in enumerate(zip(clean, expected, strict=True)):
        for name, value in row.items():
            if value != wanted[name]:
                sys.exit(f"{reader}: row {number}, {name}: {value!r} instead of {wanted[name]!r}")
    print(f"{reader}: {len(rows)} rows")


perspectives = [
    {"condition": "Plain: 1", "reading": None, "strategy": "Translate."},
    {"condition": "Noted", "reading": "Take notes.", "strategy": "Translate the notes."},
]
config = {
    "task_type": "translation",
    "task_description": "Texts with odd characters",
    "agent_perspectives": [*perspectives, {**perspectives[0], "condition": "Toned", "prompt_template": "{tone}: {text}"}],
    "model_config": {"model_name": "gpt-4o-mini", "max_tokens": 100},
    "data_config": {"input_data_path": "rows.json", "license": "cc-by-4.0"},
    "add_references": True,
    "api_provider": "offline",
}
inputs = [{"id": at + 1, "input": text, "reference": text[::-1], "tone": text} for at, text in enumerate(TEXTS)]
Path("config.json").write_text(json.dumps(config))
Path("rows.json").write_text(json.dumps(inputs))
datagen("run", "config.json", "--no-export", "--name", "Größe 😀")
datagen("export", "latest", "--output", "plain.jsonl")
draw = random.Random(1)
scored = []
for line in Path("plain.jsonl").read_text().splitlines():
    cell = json.loads(line)
    if cell["condition"] != "Reference" and cell["task"] != 3:
        scored.append({**{name: cell[name] for name in ("id", "condition", "replicate")}, "f1": draw.random()})
pd.DataFrame(scored).to_parquet("scores.parquet")
datagen("scores", "import", "latest", "scores.parquet")
for output in ("set.json", "set.jsonl", "set.csv", "set.parquet"):
    datagen("export", "latest", "--output", output)
datagen("export", "latest", "--format", "hf", "--output", "set")

lines = [json.loads(line) for line in Path("set.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
# JSON Lines have no column for what prompts used: it stands before the scores.
tones = {row["id"]: json.dumps({"tone": row["tone"]}, ensure_ascii=False, separators=(",", ":")) for row in inputs}
typed = [{**{k: v for k, v in row.items() if k != "f1"}, "columns": tones[row["id"]], "f1": row["f1"]} for row in lines]
assert any(row["f1"] is None for row in lines) and any(row["f1"] is not None for row in lines)

table = pq.read_table("set.parquet")
same("pyarrow, parquet", table.to_pylist(), typed)
types = {field.name: str(field.type) for field in table.schema}
assert (types["task"], types["id"], types["cost_usd"], types["f1"]) == ("int64", "int64", "double", "double"), types
assert types["run_name"] == types["columns"] == "string", types
runs = json.loads(table.schema.metadata[b"datagen.runs"])
assert runs[0]["config"]["task_description"] == config["task_description"]

frame = pd.read_parquet("set.parquet")
same("pandas, parquet", frame.astype(object).where(frame.notna(), None).to_dict("records"), typed)
folder = datasets.load_dataset("set")
same("datasets, hf", folder["train"].to_list(), typed)
same("datasets, parquet", datasets.load_dataset("parquet", data_files="set.parquet")["train"].to_list(), typed)
same("datasets, jsonl", datasets.load_dataset("json", data_files="set.jsonl")["train"].to_list(), lines)
tasks = datasets.load_dataset("json", data_files="set.json", field="tasks")["train"]
assert [task["context"] for task in tasks] == TEXTS
print(f"datasets, json: {len(tasks)} rows")
frame = pd.read_csv("set.csv", keep_default_na=False, na_values=[""])
same("pandas, csv", frame.astype(object).where(frame.notna(), None).to_dict("records"), lines)
