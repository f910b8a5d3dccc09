// The peer: an access token is verified, one row is read by its key. Nothing else: no session, no rate limit, no trace, no metrics.

import jwt from "@fastify/jwt";
import Database from "better-sqlite3";
import Fastify from "fastify";

const [file, id, size] = process.argv.slice(2);
const database = new Database(file);
database.pragma("journal_mode = WAL");
database.exec("CREATE TABLE IF NOT EXISTS organizations (id INTEGER PRIMARY KEY, slug TEXT, name TEXT, settings TEXT, state TEXT, created_at INTEGER)");
const insert = database.prepare("INSERT OR REPLACE INTO organizations VALUES (?, ?, ?, '{}', 'active', 0)");
database.transaction(() => { for (let row = 1; row <= Number(size); row += 1) insert.run(row, `slug-${row}`, `Name of ${row}`); })();
const read = database.prepare("SELECT id, slug, name, settings, state, created_at FROM organizations WHERE id = ?");

const app = Fastify({ logger: false });
app.register(jwt, { secret: "a secret of thirty-two characters", sign: { expiresIn: "15m" } });
app.get("/v1/organizations/:organization", { onRequest: (request) => request.jwtVerify() }, (request) => read.get(request.params.organization));
await app.listen({ host: "127.0.0.1", port: 0 });
const token = app.jwt.sign({ sub: "1", sid: "2", org: id, amr: ["pwd"] });
console.log(`${app.server.address().port} ${token}`);
