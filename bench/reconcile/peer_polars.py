"""keyed-v1 in Polars: CSV files in, links.csv out. Amounts are integers of thousandths, never floats."""
import sys

import polars as pl

source, output = sys.argv[1], sys.argv[2]
key = ["ref", "currency"]


def read(side):
    schema = {"id": pl.String, "date": pl.String, "ref": pl.String, "amount": pl.String, "currency": pl.String,
              "counterparty": pl.String, "description": pl.String}
    text = pl.col("amount")
    whole = text.str.replace(r"\..*$", "").str.strip_prefix("-").cast(pl.Int64)
    part = text.str.extract(r"\.(\d+)$").fill_null("0").str.pad_end(3, "0").cast(pl.Int64)
    units = (whole * 1000 + part) * pl.when(text.str.starts_with("-")).then(-1).otherwise(1)
    return (pl.scan_csv(f"{source}/{side}.csv", schema=schema)
            .select("id", "ref", "currency", pl.col("date").str.to_date("%Y-%m-%d"), units.alias("amount"))
            .filter(pl.col("ref").is_not_null() & (pl.col("ref") != "")).collect())


left, right = read("left"), read("right")
tolerance = pl.when(pl.col("currency") == "JPY").then(0).otherwise(20)
days = (pl.col("date_right") - pl.col("date")).dt.total_days()
candidates = (left.join(right, on=key).filter(days.is_between(0, 3))
              .with_columns((pl.col("amount") - pl.col("amount_right")).abs().alias("delta"), tolerance.alias("tolerance")))
lone = left.group_by(key).len().filter(pl.col("len") == 1).select(key)


def groups(frame, test):
    found = (frame.join(lone, on=key, how="semi").group_by("id")
             .agg(pl.col("id_right"), pl.col("amount").first(), pl.col("amount_right").sum().alias("sum"), pl.len().alias("parts"),
                  pl.col("delta").min().alias("nearest"), pl.col("tolerance").first()).filter((pl.col("parts") > 1) & test))
    return found.select("id", "id_right").explode("id_right")


grouped = groups(candidates, (pl.col("amount") == pl.col("sum")) & (pl.col("nearest") > 0))
open_pairs = candidates.filter(pl.col("delta") <= pl.col("tolerance")).join(grouped, on="id", how="anti")
ranked = (open_pairs.sort("delta", "id", "id_right")
          .with_columns(pl.int_range(pl.len()).over("id").alias("by_left"), pl.int_range(pl.len()).over("id_right").alias("by_right")))
pairs = ranked.filter((pl.col("by_left") == 0) & (pl.col("by_right") == 0)).select("id", "id_right")
rest = candidates.join(grouped, on="id", how="anti").join(pairs, on="id", how="anti").join(pairs, on="id_right", how="anti")
late = groups(rest, (pl.col("amount") - pl.col("sum")).abs() <= pl.col("tolerance"))
status = lambda frame, name: frame.select("id", "id_right", pl.lit(name).alias("status"))
links = pl.concat([status(pairs, "matched"), status(grouped, "group"), status(late, "group")])
open_left = left.join(links, on="id", how="anti")
open_right = right.join(links, left_on="id", right_on="id_right", how="anti")
conflict = status(open_left.join(open_right, on=key), "conflict")
twins = open_right.join(right, on=[*key, "amount"], suffix="_other").filter(pl.col("id") != pl.col("id_other"))
duplicate = (twins.join(links, left_on="id_other", right_on="id_right", suffix="_left")
             .select(pl.col("id_left").alias("id"), pl.col("id").alias("id_right"), pl.lit("duplicate").alias("status")))
(pl.concat([links, conflict, duplicate]).sort("id").rename({"id": "left_id", "id_right": "right_id"}).write_csv(output))
