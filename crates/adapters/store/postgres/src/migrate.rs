//! Migrations: applied by the owner, under a lock, each whole or not at all; then the runtime role is given what it needs.

use std::path::PathBuf;

use crate::open::{OpenError, applied};
use crate::target::Target;
use stoa_kernel::clock::Clock;
use stoa_store::migrations::{Migration, checksum, plan};

/// What migrations are applied with.
#[derive(Clone)]
pub struct MigrateOptions<'o> {
    /// The address of the database, with the role that is to own the tables. Not through a pooler: the lock is of the session.
    pub owner_url: &'o str,
    /// Authorities that its certificate is verified by; those that the system trusts, if there are none.
    pub ca_file: Option<PathBuf>,
    /// The role that the platform runs with.
    pub runtime_role: &'o str,
    /// All migrations.
    pub migrations: &'static [Migration],
    /// Dates them.
    pub clock: &'o dyn Clock,
}

impl std::fmt::Debug for MigrateOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MigrateOptions").field("runtime_role", &self.runtime_role).finish_non_exhaustive()
    }
}

/// The advisory lock under which migrations are applied: "stoa" and "migr" as numbers.
const LOCK: i64 = 0x7374_6F61_6D69_6772;

const REMEMBERED: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    number     bigint NOT NULL PRIMARY KEY,
    name       text   NOT NULL,
    checksum   text   NOT NULL,
    applied_at bigint NOT NULL
)";

/// Brings the schema up to date; returns how many migrations were applied. Safe to run from several places at once.
///
/// # Errors
/// [`OpenError`].
pub async fn migrate(options: MigrateOptions<'_>) -> Result<usize, OpenError> {
    let Target { config, tls } = Target::of(options.owner_url, options.ca_file.as_deref())?;
    let (mut client, connection) = config.connect(tls).await?;
    let driving = tokio::spawn(connection);
    client.execute(&format!("SELECT pg_advisory_lock({LOCK})"), &[]).await?;
    client.batch_execute(REMEMBERED).await?;
    let known = applied(&client).await?;
    let missing = plan(options.migrations, &known, |migration| migration.postgres)?;
    for migration in &missing {
        let transaction = client.transaction().await?;
        transaction.batch_execute(migration.postgres).await?;
        transaction
            .execute(
                "INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
                &[&migration.number, &migration.name, &checksum(migration.postgres), &options.clock.now().0],
            )
            .await?;
        transaction.commit().await?;
    }
    grant(&client, options.runtime_role).await?;
    drop(client);
    let _ = driving.await;
    Ok(missing.len())
}

/// Gives the runtime role the rows, and nothing of the schema.
async fn grant(client: &tokio_postgres::Client, role: &str) -> Result<(), OpenError> {
    let quoted = format!("\"{}\"", role.replace('"', "\"\""));
    client
        .batch_execute(&format!(
            "DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO {quoted}', current_schema()); END $$;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {quoted};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quoted};
             REVOKE INSERT, UPDATE, DELETE ON schema_migrations FROM {quoted};
             GRANT EXECUTE ON FUNCTION stoa_expect(bigint, bigint, bigint, text) TO {quoted};"
        ))
        .await?;
    Ok(())
}
