// Measures a peer: how fast it enqueues jobs that do nothing, one by one by 100 callers and in hundreds, and how fast it drains them,
// with the settings that its documentation recommends for throughput. `node peer.mjs NAME URL COUNT`.
const [name, url, countText] = process.argv.slice(2);
const count = Number(countText);
const callers = 100;
const say = (what, value, unit) => console.log(`${name}_${what} ${value.toFixed(1)} ${unit}`);
const now = () => performance.now();

async function enqueue(what, each) {
  const start = now();
  await Promise.all(Array.from({ length: callers }, each));
  say(what, count / ((now() - start) / 1000), "jobs/s");
}

/** Measures the start of single jobs while nothing else happens. */
async function latency(add, begun) {
  const took = [];
  for (let number = 0; number < 200; number++) {
    await new Promise((next) => setTimeout(next, 5));
    const start = now();
    const started = begun();
    await add();
    took.push((await started) - start);
  }
  took.sort((a, b) => a - b);
  say("idle_start_p50", took[Math.floor(took.length * 0.5)], "ms");
  say("idle_start_p99", took[Math.floor(took.length * 0.99)], "ms");
}

function counter() {
  let done = 0, wanted = 0, reached, waiting;
  return {
    hit() { done++; if (waiting) { waiting(now()); waiting = undefined; } if (done === wanted) reached?.(); },
    until(more) { wanted = done + more; return new Promise((resolve) => { reached = resolve; }); },
    next() { return new Promise((resolve) => { waiting = resolve; }); },
  };
}

const peers = {
  async "graphile-worker"() {
    const { Logger, makeWorkerUtils, run } = await import("graphile-worker");
    const pg = (await import("pg")).default;
    const pool = new pg.Pool({ connectionString: url, max: 16 });
    pool.on("error", (error) => console.error(error));
    const utils = await makeWorkerUtils({ pgPool: pool });
    await utils.migrate();
    const count_ = counter();
    const worker = () => run({
      pgPool: pool, concurrency: 64, noHandleSignals: true, pollInterval: 500, taskList: { nothing: async () => count_.hit() },
      preset: { worker: { concurrentJobs: 64, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
      logger: new Logger(() => () => {}),
    });
    const left = async () => Number((await pool.query("select count(*) from graphile_worker.jobs")).rows[0].count);
    const drain = async (what) => {
      const start = now();
      const all = count_.until(count);
      const runner = await worker();
      await all;
      while (await left() > 0) await new Promise((next) => setTimeout(next, 1));
      say(what, count / ((now() - start) / 1000), "jobs/s");
      await runner.stop();
    };
    await enqueue("enqueue_one_by_one", async () => { for (let n = 0; n < count / callers; n++) await utils.addJob("nothing", { number: 1 }); });
    await drain("drain");
    await enqueue("enqueue_hundreds", async () => {
      for (let n = 0; n < count / callers / 100; n++)
        await utils.addJobs(Array.from({ length: 100 }, () => ({ identifier: "nothing", payload: { number: 1 } })));
    });
    await drain("drain_again");
    const runner = await worker();
    await latency(() => utils.addJob("nothing", { number: 1 }), () => count_.next());
    await runner.stop();
    await pool.end();
  },

  async "pg-boss"() {
    const PgBoss = (await import("pg-boss")).default;
    const boss = new PgBoss({ connectionString: url, max: 16, supervise: false, schedule: false });
    boss.on("error", (error) => console.error(error));
    await boss.start();
    await boss.createQueue("nothing");
    const count_ = counter();
    const drain = async (what) => {
      const start = now();
      const all = count_.until(count);
      // Four fetchers of large batches; each batch is ended by one statement.
      const fetch = async () => {
        for (;;) {
          const jobs = await boss.fetch("nothing", { batchSize: 500 });
          if (jobs.length === 0) return;
          for (const _ of jobs) count_.hit();
          await boss.complete("nothing", jobs.map((job) => job.id));
        }
      };
      await Promise.all([all, ...Array.from({ length: 4 }, fetch)]);
      say(what, count / ((now() - start) / 1000), "jobs/s");
    };
    await enqueue("enqueue_one_by_one", async () => { for (let n = 0; n < count / callers; n++) await boss.send("nothing", { number: 1 }); });
    await drain("drain");
    await enqueue("enqueue_hundreds", async () => {
      for (let n = 0; n < count / callers / 100; n++)
        await boss.insert(Array.from({ length: 100 }, () => ({ name: "nothing", data: { number: 1 } })));
    });
    await drain("drain_again");
    await boss.work("nothing", { pollingIntervalSeconds: 0.5 }, async (jobs) => { for (const _ of jobs) count_.hit(); });
    await latency(() => boss.send("nothing", { number: 1 }), () => count_.next());
    await boss.stop({ graceful: false });
  },

  async bullmq(always = false) {
    const { Queue, Worker } = await import("bullmq");
    const Redis = (await import("ioredis")).default;
    const connection = { url, maxRetriesPerRequest: null };
    const redis = new Redis(url);
    await redis.flushall();
    await redis.config("SET", "appendonly", always ? "yes" : "no");
    if (always) await redis.config("SET", "appendfsync", "always");
    const queue = new Queue("nothing", { connection, defaultJobOptions: { removeOnComplete: true } });
    const count_ = counter();
    const worker = () => new Worker("nothing", async () => count_.hit(), { connection, concurrency: 200 });
    const drain = async (what) => {
      const start = now();
      const all = count_.until(count);
      const runner = worker();
      await all;
      for (;;) {
        const left = await queue.getJobCounts("wait", "active");
        if (left.wait + left.active === 0) break;
      }
      say(what, count / ((now() - start) / 1000), "jobs/s");
      await runner.close();
    };
    await enqueue("enqueue_one_by_one", async () => { for (let n = 0; n < count / callers; n++) await queue.add("nothing", { number: 1 }); });
    await drain("drain");
    await enqueue("enqueue_hundreds", async () => {
      for (let n = 0; n < count / callers / 100; n++)
        await queue.addBulk(Array.from({ length: 100 }, () => ({ name: "nothing", data: { number: 1 } })));
    });
    await drain("drain_again");
    const runner = worker();
    await latency(() => queue.add("nothing", { number: 1 }), () => count_.next());
    await runner.close();
    await queue.close();
    await redis.quit();
  },

  "bullmq-always"() { return peers.bullmq(true); },
};

await peers[name]();
process.exit(0);
