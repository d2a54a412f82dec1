"""Makes the files of this folder. Needs pandas, pyarrow and datasets: python3 test/data/sources/make.py

rows.json and nested.json say which rows the other files hold; Python's own json module wrote them.
"""

import csv
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
from datasets import Dataset

HERE = Path(__file__).parent

ROWS = [
    {"id": "r1", "article": "Der Fluss stieg über Nacht.\nAm Morgen war die Brücke gesperrt.", "highlights": "Brücke nach Hochwasser gesperrt"},
    {"id": "r2", "article": 'Die Wirtin rief: "Wer zahlt, der bleibt!", und lachte.', "highlights": 'Wirtin: "Wer zahlt, der bleibt!"'},
    {"id": "r3", "article": "Ein Satz; mit Semikolon, Komma\tund Tabulator.", "highlights": None},
    {"id": "r4", "article": "雨が降り、橋は閉じた。🌧", "highlights": "橋が閉じた"},
    {"id": "r5", "article": " am Anfang und am Ende ein Leerzeichen ", "highlights": "NA"},
    {"id": "r6", "article": "C:\\neu\\tal", "highlights": "\\"},
    {"id": "r7", "article": '"', "highlights": '""'},
    {"id": "r8", "article": "1,5", "highlights": "007"},
]

NESTED = [
    {"id": "n1", "translation": {"de": "Es schneit.", "en": "It is snowing."}, "tags": ["Wetter", "kurz"], "score": 0.5, "meta": {"year": 1999, "ok": True}},
    {"id": "n2", "translation": {"de": "Die Tür klemmt.", "en": None}, "tags": [], "score": None, "meta": {"year": -3, "ok": False}},
]


def text(name, content):
    (HERE / name).write_bytes(content.encode("utf-8"))


def main():
    text("rows.json", json.dumps(ROWS, ensure_ascii=False, indent=1))
    text("nested.json", json.dumps(NESTED, ensure_ascii=False, indent=1))
    frame = pd.DataFrame(ROWS)

    frame.to_csv(HERE / "pandas.csv", index=False)
    frame.to_csv(HERE / "pandas-index.csv")
    frame.to_csv(HERE / "pandas-quote-all.csv", index=False, quoting=csv.QUOTE_ALL)
    frame.to_csv(HERE / "pandas-crlf.csv", index=False, lineterminator="\r\n")
    frame.to_csv(HERE / "pandas-old-mac.csv", index=False, lineterminator="\r", quoting=csv.QUOTE_ALL)
    frame.to_csv(HERE / "pandas-tabs.csv", index=False, sep="\t")
    frame.to_csv(HERE / "pandas.tsv", index=False, sep="\t")
    frame.to_csv(HERE / "pandas.csv.gz", index=False, compression={"method": "gzip", "mtime": 1})
    # As Excel saves "CSV UTF-8" where the comma is the decimal point.
    frame.to_csv(HERE / "excel.csv", index=False, sep=";", encoding="utf-8-sig", lineterminator="\r\n")
    # As write.csv of R writes: texts in quotes, names of rows in a column without a name.
    named = frame.set_index(pd.Index([str(at + 1) for at in range(len(frame))]))
    named.to_csv(HERE / "r.csv", quoting=csv.QUOTE_NONNUMERIC)
    pa.csv.write_csv(pa.Table.from_pylist(ROWS), HERE / "pyarrow.csv")
    Dataset.from_list(ROWS).to_csv(HERE / "datasets.csv", index=False)
    frame.to_json(HERE / "pandas.json", orient="records", indent=2)
    frame.to_json(HERE / "pandas.jsonl", orient="records", lines=True, force_ascii=False)
    frame.to_json(HERE / "pandas.jsonl.gz", orient="records", lines=True, compression={"method": "gzip", "mtime": 1})
    Dataset.from_list(NESTED).to_json(HERE / "datasets-nested.jsonl", force_ascii=False)


main()
