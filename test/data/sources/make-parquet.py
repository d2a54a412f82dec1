"""Writes the Parquet files of the folder parquet, and beside each the values that pyarrow reads from it.

    python make-parquet.py        needs pyarrow, pandas, fastparquet and datasets

In the JSON Lines, {"$bytes": hex} stands for bytes, and {"$int": digits} for a whole number that a double cannot hold.
"""

import datetime as dt
import decimal
import json
import math
import os
import random

import datasets
import fastparquet
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "parquet"))
random.seed(18)

WORDS = "the council opens a small river bridge after winter über façade 東京 🙂 report on school paper".split()


def text(words):
    return " ".join(random.choices(WORDS, k=words))


def plain(scalar):
    """A value of Arrow as JSON has it: dates as ISO 8601, decimals as text, numbers that JSON lacks as null."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_dictionary(kind):
        return plain(scalar.value)
    if pa.types.is_struct(kind):
        return {name: plain(scalar[name]) for name in scalar}
    if pa.types.is_map(kind):
        return {str(plain(item["key"])): plain(item["value"]) for item in scalar.values}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return [plain(item) for item in scalar.values]
    if pa.types.is_timestamp(kind):
        return instant(scalar.value, kind)
    if pa.types.is_time(kind):
        return clock(scalar.value, DIGITS[kind.unit])
    if pa.types.is_decimal(kind):
        return format(scalar.as_py(), "f")
    value = scalar.as_py()
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53 - 1:
        return {"$int": str(value)}
    return str(value) if kind == pa.uuid() else value


DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def clock(value, digits):
    seconds, fraction = divmod(value, 10**digits)
    rest = f".{fraction:0{digits}d}" if fraction else ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{rest}"


def instant(value, kind):
    seconds, fraction = divmod(value, 10 ** DIGITS[kind.unit])
    days, seconds = divmod(seconds, 86400)
    day = (dt.date(1970, 1, 1) + dt.timedelta(days=days)).isoformat()
    time = clock(seconds * 10 ** DIGITS[kind.unit] + fraction, DIGITS[kind.unit])
    return f"{day}T{time}{'Z' if kind.tz else ''}"


def finish(name, texts=()):
    """Writes what pyarrow reads. `texts` are columns of bytes that are meant as texts."""
    table = pq.ParquetFile(f"{name}.parquet").read()
    rows = [
        {
            key: table[key][at].as_py().decode() if key in texts else plain(table[key][at])
            for key in table.column_names
        }
        for at in range(table.num_rows)
    ]
    with open(f"{name}.jsonl", "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    size = os.path.getsize(f"{name}.parquet")
    assert size < 20_000, (name, size)


def write(name, table, **options):
    pq.write_table(table, f"{name}.parquet", **options)
    finish(name)


def texts_table(count):
    return pa.table(
        {
            "id": [f"row-{at}" for at in range(count)],
            "input": [text(3 + at % 9) for at in range(count)],
            "reference": [None if at % 5 == 3 else text(3) for at in range(count)],
            "language": ["de" if at % 3 else "en" for at in range(count)],
            "number": list(range(count)),
        }
    )


def types_table():
    moments = [0, 1_700_000_000_123_456_789, -1, -2_208_988_800_000_000_001, 1_000_000_000]
    count = len(moments)
    cut = lambda unit: [at // unit for at in moments]
    decimals = [decimal.Decimal(at) for at in ("0.00", "12345.67", "-0.01", "-99999.99", "1.10")]
    big = [decimal.Decimal(at) for at in ("0", "12345678901234567890123456789012345678", "-1", "-99", "7")]
    ints = lambda bits: pa.array([0, 1, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))], f"int{bits}")
    uints = lambda bits: pa.array([0, 1, 2, 2**bits - 1, 2 ** (bits - 1)], f"uint{bits}")
    columns = {
        "text": ["", "a\u0000b\n\"c\"", "über 東京 🙂", None, "\ufffd is a character"],
        "large": pa.array(["x", None, "y", "z" * 300, ""], pa.large_string()),
        "category": pa.array(["a", "b", None, "a", "a"]).dictionary_encode(),
        "bytes": pa.array([b"", b"\xff\xfe\x00", None, b"plain", b"\x80"], pa.binary()),
        "fixed": pa.array([b"abc", b"\x00\x01\x02", None, b"\xff\xff\xff", b"xyz"], pa.binary(3)),
        "flag": [True, False, None, True, True],
        **{f"int{bits}": ints(bits) for bits in (8, 16, 32, 64)},
        **{f"uint{bits}": uints(bits) for bits in (8, 16, 32, 64)},
        "edge": pa.array([2**53 - 1, 2**53, -(2**53) + 1, -(2**53), None], pa.int64()),
        "half": pa.array([0.0, 1.5, -65504.0, 5.960464477539063e-08, math.nan], pa.float16()),
        "float": pa.array([0.1, math.inf, -0.0, 3.4e38, None], pa.float32()),
        "double": pa.array([0.1, math.nan, -1e300, 5e-324, None], pa.float64()),
        "day": pa.array([dt.date(1970, 1, 1), dt.date(2024, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31), None]),
        **{
            f"at_{unit}": pa.array(cut(size), pa.timestamp(unit))
            for unit, size in (("ms", 10**6), ("us", 10**3), ("ns", 1))
        },
        "at_utc": pa.array(cut(10**3), pa.timestamp("us", tz="UTC")),
        "at_berlin": pa.array(cut(10**6), pa.timestamp("ms", tz="Europe/Berlin")),
        "time_ms": pa.array([0, 1, 86_399_999, 3_600_000, None], pa.time32("ms")),
        "time_us": pa.array([0, 1, 86_399_999_999, 3_600_000_000, None], pa.time64("us")),
        "time_ns": pa.array([0, 1, 86_399_999_999_999, 3_600_000_000_000, None], pa.time64("ns")),
        "decimal": pa.array(decimals, pa.decimal128(9, 2)),
        "decimal_18": pa.array(decimals, pa.decimal128(18, 2)),
        "decimal_38": pa.array(big, pa.decimal128(38, 0)),
        "decimal_76": pa.array(big, pa.decimal256(76, 0)),
        "uuid": pa.array([bytes(range(16)), None, b"\xff" * 16, b"\x00" * 16, bytes(16)], pa.uuid()),
        "nothing": pa.nulls(count),
        "__proto__": ["a", "b", None, "d", "e"],
    }
    return pa.table(columns)


def nested_table():
    row = pa.struct([("de", pa.string()), ("en", pa.string())])
    deep = pa.struct([("title", pa.string()), ("parts", pa.list_(pa.struct([("n", pa.int64()), ("tags", pa.list_(pa.string()))])))])
    return pa.table(
        {
            "translation": pa.array([{"de": "eins", "en": "one"}, None, {"de": None, "en": "three"}, {"de": "vier"}], row),
            "list": pa.array([["a", None, "b"], [], None, ["c"]], pa.list_(pa.string())),
            "lists": pa.array([[[1], [], None, [2, None]], None, [], [[]]], pa.list_(pa.list_(pa.int32()))),
            "pair": pa.array([[1, 2], None, [3, None], [5, 6]], pa.list_(pa.int16(), 2)),
            "map": pa.array([[("a", 1), ("b", None)], [], None, [("__proto__", 4)]], pa.map_(pa.string(), pa.int64())),
            "numbered": pa.array([[(1, "x")], None, [(2, None), (3, "y")], []], pa.map_(pa.int32(), pa.string())),
            "maps": pa.array(
                [[("a", [{"k": "v"}, None])], [("b", None)], None, [("c", [])]],
                pa.map_(pa.string(), pa.list_(pa.struct([("k", pa.string())]))),
            ),
            "deep": pa.array(
                [
                    {"title": "x", "parts": [{"n": 1, "tags": ["a", "b"]}, None, {"n": None, "tags": None}]},
                    {"title": None, "parts": None},
                    None,
                    {"title": "y", "parts": [{"n": 2, "tags": []}, {"n": 3, "tags": [None]}]},
                ],
                deep,
            ),
        }
    )


for codec in ("none", "snappy", "gzip", "zstd", "brotli", "lz4"):
    write(f"codec-{codec}", texts_table(30), compression=codec, write_statistics=codec == "snappy")
# Arrow calls raw LZ4 "lz4"; fastparquet writes the older one.
fastparquet.write("codec-old-lz4.parquet", texts_table(30).to_pandas(), compression="LZ4", object_encoding="utf8")
finish("codec-old-lz4")

types = types_table()
write("types", types, compression="snappy")
write("types-v2", types, data_page_version="2.0", use_dictionary=False, store_decimal_as_integer=True, compression="zstd")
old = types.select(["text", "at_ns"])
write("int96", old, use_deprecated_int96_timestamps=True)

nested = nested_table()
write("nested", nested)
write("nested-v2", nested, data_page_version="2.0", compression="gzip", use_compliant_nested_type=False)

# Small pages and row groups: columns whose pages end at other rows, and dictionaries that are left in the middle.
many = texts_table(80)
many = many.append_column("words", pa.array([text(at % 7).split() for at in range(80)]))
many = many.append_column("none", pa.nulls(80, pa.string()))
write("pages", many, data_page_size=200, write_batch_size=7, dictionary_pagesize_limit=150, row_group_size=40)
write("pages-v2", many, data_page_size=200, write_batch_size=7, data_page_version="2.0", write_page_checksum=True)

delta = pa.table(
    {
        "text": [f"{text(2)} {at}" for at in range(80)],
        "prefixed": [f"https://example.org/articles/{at:05d}" if at % 7 else None for at in range(80)],
        "int32": pa.array([random.randrange(-(2**31), 2**31) for _ in range(80)], pa.int32()),
        "int64": pa.array([random.randrange(-(2**63), 2**63) for _ in range(80)], pa.int64()),
        "steps": pa.array([5 * at for at in range(80)], pa.int64()),
        "float": pa.array([at / 3 for at in range(80)], pa.float32()),
        "double": pa.array([at / 7 if at % 11 else None for at in range(80)], pa.float64()),
        "fixed": pa.array([f"{at:04d}".encode() for at in range(80)], pa.binary(4)),
        "flag": [at % 3 == 0 for at in range(80)],
    }
)
write(
    "encodings",
    delta,
    use_dictionary=False,
    data_page_version="2.0",
    data_page_size=500,
    write_batch_size=16,
    compression="brotli",
    column_encoding={
        "text": "DELTA_LENGTH_BYTE_ARRAY",
        "prefixed": "DELTA_BYTE_ARRAY",
        "int32": "DELTA_BINARY_PACKED",
        "int64": "DELTA_BINARY_PACKED",
        "steps": "DELTA_BINARY_PACKED",
        "float": "BYTE_STREAM_SPLIT",
        "double": "BYTE_STREAM_SPLIT",
        "fixed": "BYTE_STREAM_SPLIT",
        "flag": "RLE",
    },
)

write("no-rows", texts_table(5).slice(0, 0))
pq.ParquetWriter("no-row-groups.parquet", texts_table(1).schema).close()
finish("no-row-groups")

frame = pd.DataFrame(
    {
        "article": [text(6), text(4), None],
        "when": pd.to_datetime(["2024-05-01 10:00:00", None, "1999-12-31 23:59:59.5"], format="ISO8601"),
        "score": [1.5, None, 3.0],
        "kind": pd.Categorical(["x", "y", "x"]),
        "count": pd.array([1, None, 3], dtype="Int64"),
    },
    index=["first", "second", "third"],
)
frame.to_parquet("pandas.parquet")
finish("pandas")

fastparquet.write("fastparquet.parquet", frame.reset_index(), compression="GZIP", object_encoding="utf8")
finish("fastparquet")

# A file that declares no type: its texts are bytes.
bytes_frame = pd.DataFrame({"input": [text(5).encode() for _ in range(4)], "number": [1, 2, 3, 4]})
fastparquet.write("undeclared.parquet", bytes_frame, object_encoding="bytes", write_index=False)
finish("undeclared", texts=["input"])

features = datasets.Features(
    {
        "translation": datasets.Translation(languages=["de", "en"]),
        "label": datasets.ClassLabel(names=["good", "bad"]),
        "answers": datasets.Sequence({"text": datasets.Value("string"), "start": datasets.Value("int32")}),
        "highlights": datasets.Value("string"),
    }
)
rows = [
    {
        "translation": {"de": text(3), "en": text(3)},
        "label": at % 2,
        "answers": {"text": [text(1)] * (at % 3), "start": list(range(at % 3))},
        "highlights": text(4),
    }
    for at in range(10)
]
datasets.Dataset.from_list(rows, features=features).to_parquet("datasets.parquet")
finish("datasets")
