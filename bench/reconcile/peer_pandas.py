"""keyed-v1 in pandas: CSV files in, links.csv out. Amounts are integers of thousandths, never floats."""
import sys

import pandas as pd

source, output = sys.argv[1], sys.argv[2]
key = ["ref", "currency"]


def read(side):
    frame = pd.read_csv(f"{source}/{side}.csv", dtype=str, keep_default_na=False, usecols=["id", "date", "ref", "amount", "currency"])
    negative = frame.amount.str.startswith("-")
    parts = frame.amount.str.lstrip("-").str.partition(".")
    units = parts[0].astype("int64") * 1000 + parts[2].str.ljust(3, "0").astype("int64")
    frame["amount"] = units.where(~negative, -units)
    frame["date"] = pd.to_datetime(frame.date, format="%Y-%m-%d")
    return frame[frame.ref != ""]


left, right = read("left"), read("right")
candidates = left.merge(right, on=key, suffixes=("", "_right"))
days = (candidates.date_right - candidates.date).dt.days
candidates = candidates[(days >= 0) & (days <= 3)].copy()
candidates["delta"] = (candidates.amount - candidates.amount_right).abs()
candidates["tolerance"] = 20
candidates.loc[candidates.currency == "JPY", "tolerance"] = 0
lone = left[~left.duplicated(key, keep=False)].id


def groups(frame, test):
    frame = frame[frame.id.isin(lone)]
    found = frame.groupby("id").agg(amount=("amount", "first"), total=("amount_right", "sum"), parts=("id_right", "size"),
                                    nearest=("delta", "min"), tolerance=("tolerance", "first"))
    found = found[(found.parts > 1) & test(found)]
    return frame[frame.id.isin(found.index)][["id", "id_right"]]


grouped = groups(candidates, lambda f: (f.amount == f.total) & (f.nearest > 0))
rest = candidates[~candidates.id.isin(grouped.id)]
near = rest[rest.delta <= rest.tolerance].sort_values(["delta", "id", "id_right"])
pairs = near[(near.groupby("id").cumcount() == 0) & (near.groupby("id_right").cumcount() == 0)][["id", "id_right"]]
rest = rest[~rest.id.isin(pairs.id) & ~rest.id_right.isin(pairs.id_right)]
late = groups(rest, lambda f: (f.amount - f.total).abs() <= f.tolerance)
links = pd.concat([pairs.assign(status="matched"), grouped.assign(status="group"), late.assign(status="group")])
open_left, open_right = left[~left.id.isin(links.id)], right[~right.id.isin(links.id_right)]
conflict = open_left.merge(open_right, on=key, suffixes=("", "_right"))[["id", "id_right"]].assign(status="conflict")
twins = open_right.merge(right, on=[*key, "amount"], suffixes=("", "_other"))
twins = twins[twins.id != twins.id_other].merge(links, left_on="id_other", right_on="id_right", suffixes=("", "_left"))
duplicate = pd.DataFrame({"id": twins.id_left, "id_right": twins.id, "status": "duplicate"})
result = pd.concat([links, conflict, duplicate]).sort_values("id")
result.rename(columns={"id": "left_id", "id_right": "right_id"}).to_csv(output, index=False)
