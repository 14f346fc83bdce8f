#!/usr/bin/python3
"""Checks a SenML pack in JSON, the same pack in CBOR, and the readings of which
they were made against each other and against RFC 8428, with nothing of ours:
Python's json and Debian's cbor2.

usage: senml-rules.py JSON CBOR [READINGS]
"""

import base64
import json
import re
import sys
from decimal import Decimal

import cbor2

# RFC 8428, section 12.1, and RFC 8798: the units and how many of the first unit one is.
PRIMARY = """m kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s l/s W/m2 cd/m2 bit
bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m B VA VAs var vars J/m kg/m3 deg NTU A/m V/m""".split()
SECONDARY = {
    "ms": ("s", "0.001"), "min": ("s", 60), "h": ("s", 3600), "MHz": ("Hz", 1000000), "kW": ("W", 1000), "kVA": ("VA", 1000), "kvar": ("var", 1000),
    "Ah": ("C", 3600), "Wh": ("J", 3600), "kWh": ("J", 3600000), "varh": ("vars", 3600), "kvarh": ("vars", 3600000), "kVAh": ("VAs", 3600000),
    "Wh/km": ("J/m", "3.6"), "KiB": ("B", 1024), "GB": ("B", 10**9), "Mbit/s": ("bit/s", 10**6), "B/s": ("bit/s", 8), "MB/s": ("bit/s", 8 * 10**6),
    "mV": ("V", "0.001"), "mA": ("A", "0.001"), "dBm": ("dBW", 1), "ug/m3": ("kg/m3", "1e-9"), "mm/h": ("m/s", 1), "m/h": ("m/s", 1), "ppm": ("/", "1e-6"),
    "/100": ("/", "0.01"), "/1000": ("/", "0.001"), "hPa": ("Pa", 100), "mm": ("m", "0.001"), "cm": ("m", "0.01"), "km": ("m", 1000), "km/h": ("m/s", 1),
}
LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")


def need(ok, what):
    if not ok:
        sys.exit(f"senml: {what}")


def number(x):
    return isinstance(x, (int, float, Decimal)) and not isinstance(x, bool)


def resolved(pack):
    """Returns the records with the base values added (section 4.6)."""
    need(isinstance(pack, list) and pack, "a pack is an array of at least one record")
    base = {"bn": "", "bt": 0, "bu": None, "bv": 0}
    out = []
    for i, rec in enumerate(pack):
        need(isinstance(rec, dict), f"record {i} is no object")
        need(set(rec) <= set(LABELS.values()), f"record {i} has labels {set(rec) - set(LABELS.values())}")
        for label in ("bt", "bv", "bs", "v", "s", "t", "ut"):
            need(label not in rec or number(rec[label]), f"record {i}: {label} is no number")
        for label in ("bn", "bu", "n", "u", "vs"):
            need(label not in rec or isinstance(rec[label], str), f"record {i}: {label} is no string")
        need("vb" not in rec or isinstance(rec["vb"], bool), f"record {i}: vb is no boolean")
        need(rec.get("bver", 10) == 10, f"record {i}: version {rec.get('bver')}")
        values = [x for x in ("v", "vs", "vb", "vd") if x in rec]
        need(len(values) == 1, f"record {i} has {len(values)} values")
        base.update({k: rec[k] for k in base if k in rec})
        name = base["bn"] + rec.get("n", "")
        need(NAME.fullmatch(name), f"record {i}: name {name!r}")
        unit = rec.get("u", base["bu"])
        need(unit is None or unit in PRIMARY or unit in SECONDARY, f"record {i}: unit {unit!r}")
        value = rec[values[0]]
        if values[0] == "v":
            value = Decimal(value) + Decimal(base["bv"])
        out.append((name, unit, values[0], value, Decimal(rec.get("t", 0)) + Decimal(base["bt"])))
    return out


def from_json(path):
    with open(path, encoding="utf-8") as f:
        pack = json.load(f, parse_float=Decimal)
    for i, rec in enumerate(pack):
        if "vd" in rec:
            need(re.fullmatch(r"[A-Za-z0-9_-]*", rec["vd"]), f"record {i}: vd is no base64url without padding")
            rec["vd"] = base64.urlsafe_b64decode(rec["vd"] + "=" * (-len(rec["vd"]) % 4))
    return resolved(pack)


def from_cbor(path):
    with open(path, "rb") as f:
        pack = cbor2.load(f)
        need(not f.read(1), "octets behind the pack")
    return resolved([{LABELS.get(k, k): v for k, v in rec.items()} for rec in pack])


def against_readings(records, path):
    """Each reading with a number must stand in the pack with just that number."""
    with open(path, encoding="utf-8") as f:
        doc = json.load(f, parse_float=Decimal)
    have = {}
    for name, unit, kind, value, _ in records:
        if kind == "v" and "/" in name:
            factor = Decimal(1000) if unit == "kVAh" else Decimal(1)
            have[name.split("/", 1)[1]] = value * factor
    checked = 0
    for r in doc["readings"]:
        if "obis" not in r or not number(r["value"]) or r.get("unit") in ("m3/h", "GJ", "bar"):
            continue
        name = r["obis"].removesuffix("*255").replace("*", "_")
        need(name in have, f"{r['obis']} is not in the pack")
        need(have[name] == Decimal(r["value"]), f"{r['obis']}: {have[name]}, want {r['value']}")
        checked += 1
    need(checked > 0, "no reading to compare")
    return checked


def main():
    records = from_json(sys.argv[1])
    need(records == from_cbor(sys.argv[2]), "JSON and CBOR differ")
    checked = against_readings(records, sys.argv[3]) if len(sys.argv) > 3 else 0
    print(f"{len(records)} records, {checked} compared with readings")


main()
