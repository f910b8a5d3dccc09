"""keyed-v1 in DuckDB SQL: CSV files in, links.csv out. Amounts are decimals, never floats."""
import sys

import duckdb

source, output, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
db = duckdb.connect()
db.execute(f"SET threads = {threads}; SET preserve_insertion_order = false")
for side in ("left", "right"):
    db.execute(
        f"""CREATE TABLE {side}_rows AS SELECT id, date, ref, amount, currency,
               CASE currency WHEN 'JPY' THEN 0 ELSE 0.02 END AS tolerance
            FROM read_csv('{source}/{side}.csv', header = true, columns = {{'id': 'VARCHAR', 'date': 'DATE', 'ref': 'VARCHAR',
                 'amount': 'DECIMAL(18,3)', 'currency': 'VARCHAR', 'counterparty': 'VARCHAR', 'description': 'VARCHAR'}})"""
    )
db.execute(
    f"""
    CREATE TABLE candidates AS
      SELECT l.id AS left_id, r.id AS right_id, l.ref, l.currency, l.amount AS left_amount, r.amount AS right_amount,
             l.tolerance, abs(l.amount - r.amount) AS delta
      FROM left_rows l JOIN right_rows r USING (ref, currency)
      WHERE l.ref <> '' AND r.date - l.date BETWEEN 0 AND 3;
    -- The whole of a split goes before a pair with a residual.
    CREATE TABLE lone AS SELECT ref, currency FROM left_rows GROUP BY ALL HAVING count(*) = 1;
    CREATE TABLE grouped AS
      SELECT left_id, list(right_id) AS rights FROM candidates JOIN lone USING (ref, currency)
      GROUP BY left_id HAVING count(*) > 1 AND any_value(left_amount) = sum(right_amount) AND min(delta) > 0;
    CREATE TABLE pairs AS
      WITH open AS (SELECT * FROM candidates WHERE delta <= tolerance AND left_id NOT IN (SELECT left_id FROM grouped)),
      ranked AS (SELECT *, row_number() OVER (PARTITION BY left_id ORDER BY delta, right_id) AS by_left,
                        row_number() OVER (PARTITION BY right_id ORDER BY delta, left_id) AS by_right FROM open)
      SELECT left_id, right_id FROM ranked WHERE by_left = 1 AND by_right = 1;
    CREATE TABLE late_groups AS
      SELECT left_id, list(right_id) AS rights FROM candidates JOIN lone USING (ref, currency)
      WHERE left_id NOT IN (SELECT left_id FROM grouped) AND left_id NOT IN (SELECT left_id FROM pairs)
        AND right_id NOT IN (SELECT right_id FROM pairs)
      GROUP BY left_id HAVING count(*) > 1 AND abs(any_value(left_amount) - sum(right_amount)) <= any_value(tolerance);
    CREATE TABLE links AS
      SELECT left_id, right_id, 'matched' AS status FROM pairs
      UNION ALL SELECT left_id, unnest(rights), 'group' FROM grouped
      UNION ALL SELECT left_id, unnest(rights), 'group' FROM late_groups;
    CREATE TABLE open_left AS SELECT * FROM left_rows WHERE id NOT IN (SELECT left_id FROM links);
    CREATE TABLE open_right AS SELECT * FROM right_rows WHERE id NOT IN (SELECT right_id FROM links);
    COPY (
      SELECT * FROM links
      UNION ALL SELECT l.id, r.id, 'conflict' FROM open_left l JOIN open_right r USING (ref, currency) WHERE l.ref <> ''
      UNION ALL SELECT k.left_id, o.id, 'duplicate' FROM open_right o
        JOIN right_rows m ON m.ref = o.ref AND m.currency = o.currency AND m.amount = o.amount AND m.id <> o.id
        JOIN links k ON k.right_id = m.id WHERE o.ref <> ''
      ORDER BY left_id
    ) TO '{output}' (HEADER);
    """
)
