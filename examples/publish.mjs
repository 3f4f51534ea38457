// Publishes a records file to a run, with nothing but the official NATS client for Node.js.
// Any language with a NATS client can do the same.
//
//   npm install @nats-io/transport-node @nats-io/jetstream
//   node examples/publish.mjs nats://127.0.0.1:4222 examples/run.yaml examples/records.jsonl
//   fff runs wait demo
//
// The file has one record a line, as docs/users.md describes.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { jetstream } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';

const maxRecords = 500;
const maxBytes = 700 * 1024; // a batch may have 768 KiB
const inFlight = 16; // batches that wait for the broker's acknowledgement at a time

const [url, runFile, recordsFile] = process.argv.slice(2);
if (!recordsFile) {
  console.error('usage: node publish.mjs NATS_URL RUN_FILE RECORDS_FILE');
  process.exit(2);
}
const source = await readFile(runFile, 'utf8');
const run = /^run:\s*([a-z0-9][a-z0-9-]*)/m.exec(source)?.[1];
if (!run) {
  console.error(`${runFile} has no line "run: NAME"`);
  process.exit(2);
}
const connection = await connect({ servers: url, name: 'publish.mjs' });
const stream = jetstream(connection);

// A refusal is an answer too: {"error":{"code":…,"message":…}}.
async function request(subject, body) {
  const reply = (await connection.request(subject, body, { timeout: 60_000 })).json();
  if (reply.error) throw new Error(`${subject}: ${reply.error.message}`);
  return reply;
}

// A message counts once for its id, however often it is sent: so a batch without an answer
// is sent again, and so this script may be run again while the run is open. The epoch keeps
// the ids of a run that is opened anew apart from those before.
let batches = 0;
async function publish(lines, epoch) {
  const number = ++batches;
  const digest = createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
  const options = { msgID: `${run}-${epoch}-${number}-${digest}`, retries: 5, timeout: 10_000 };
  let body = `{"records":[${lines.join(',')}]}`;
  if (number % 2 === 0) { // both forms will do; the other one is a record a line
    body = lines.join('\n');
    options.headers = headers();
    options.headers.set('Content-Type', 'application/x-ndjson');
  }
  await stream.publish(`fff.ingest.${run}`, body, options); // resolves once the broker has it
}

const { epoch } = await request(`fff.open.${run}`, source); // the same file again changes nothing
let records = 0;
let waiting = [];
let batch = [];
let bytes = 0;

async function flush() {
  if (batch.length > 0) waiting.push(publish(batch, epoch));
  [batch, bytes] = [[], 0];
  if (waiting.length >= inFlight) {
    await Promise.all(waiting);
    waiting = [];
  }
}

for await (const line of createInterface({ input: createReadStream(recordsFile), crlfDelay: Infinity })) {
  if (line.trim() === '') continue;
  const size = Buffer.byteLength(line) + 1;
  if (batch.length === maxRecords || bytes + size > maxBytes) await flush();
  batch.push(line);
  bytes += size;
  records++;
}
await flush();
await Promise.all(waiting);

// The number is checked against what has arrived; a different one leaves the run open.
const closed = await request(`fff.close.${run}`, JSON.stringify({ records }));
if (!closed.sealed) throw new Error(`${records} records were published, the run has seen ${closed.records_seen}`);
console.log(`run ${run}, epoch ${epoch}: ${records} records in ${batches} batches`);
await connection.drain();
