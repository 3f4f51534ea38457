// Reads a dataset with DuckDB and prints what it counts as JSON.
//
// Every file is read whole by itself, every family by its directory, and all together
// hive-partitioned.
import { DuckDBInstance } from '@duckdb/node-api';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const features = join(process.argv[2], 'features');
const connection = await (await DuckDBInstance.create(':memory:')).connect();

async function rows(sql) {
  return (await connection.runAndReadAll(sql)).getRowObjectsJson();
}

const quoted = (path) => `'${path.replaceAll("'", "''")}'`;
const result = { families: {}, files: {} };
for (const directory of readdirSync(features)) {
  const family = decodeURIComponent(directory.slice('family='.length));
  const all = quoted(join(features, directory, '*.parquet'));
  [result.families[family]] = await rows(`
    SELECT count(*) AS rows, count(DISTINCT (user_id, pitc_timestamp)) AS keys
    FROM read_parquet(${all}, union_by_name=false)`);
  for (const name of readdirSync(join(features, directory))) {
    const path = join(features, directory, name);
    // COLUMNS(*) has every value of every column decoded.
    const [counts] = await rows(`SELECT count(COLUMNS(*)) FROM read_parquet(${quoted(path)}, hive_partitioning=false)`);
    result.files[path] = counts.user_id;
  }
}
[result.all] = await rows(`
  SELECT count(*) AS rows, count(DISTINCT family) AS families, count(DISTINCT (family, user_id, pitc_timestamp)) AS keys
  FROM read_parquet(${quoted(join(features, '*', '*.parquet'))}, hive_partitioning=true, union_by_name=false)`);
console.log(JSON.stringify(result));
