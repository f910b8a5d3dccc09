//! Notifications: what another process has committed. They only shorten waiting; the poll is the truth.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::AsyncMessage;

use crate::committer::CHANNEL;
use crate::target::Target;

/// Between attempts to listen again.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens until it is aborted; a broken connection is made anew.
pub(crate) async fn run(target: Target, committed: Arc<dyn Fn() + Send + Sync>) {
    loop {
        if let Err(error) = listen(&target, &committed).await {
            tracing::debug!(%error, "listening for events was interrupted");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(
    target: &Target,
    committed: &Arc<dyn Fn() + Send + Sync>,
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = target.config.connect(target.tls.clone()).await?;
    let command = format!("LISTEN {CHANNEL}");
    let mut asked = Box::pin(client.batch_execute(&command));
    let mut listening = false;
    loop {
        tokio::select! {
            asked = &mut asked, if !listening => {
                asked?;
                listening = true;
                // What was committed before listening began.
                committed();
            }
            message = poll_fn(|context| connection.poll_message(context)) => match message {
                Some(Ok(AsyncMessage::Notification(_))) => committed(),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    }
}
