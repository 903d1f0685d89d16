//! A gate before the webhook. Closed, it passes each request on, waits for the answer, and loses it: what the sender sees
//! is a connection that was reset, whatever was stored.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::machine::Machine;

/// A gate that stands. Dropping it takes it away.
pub struct Gate {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Gate {
    /// A closed gate before that address, which the machine reaches at [`Gate::url`].
    pub async fn closed(machine: &Machine, to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((machine.network().outside(), 0)).await?;
        let address = listener.local_addr()?;
        let closed = Arc::new(AtomicBool::new(true));
        let state = closed.clone();
        let task = tokio::spawn(async move {
            while let Ok((sender, _)) = listener.accept().await {
                let closed = state.load(Ordering::Relaxed);
                // A connection that breaks off is the sender's to notice.
                tokio::spawn(async move { if closed { lose(sender, to).await } else { pass(sender, to).await } });
            }
        });
        Ok(Self { address, closed, task: task.abort_handle() })
    }

    /// Where a path behind it is reached.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Lets the answers to later connections through.
    pub fn open(&self) {
        self.closed.store(false, Ordering::Relaxed);
    }
}

async fn pass(mut sender: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let mut receiver = TcpStream::connect(to).await?;
    copy_bidirectional(&mut sender, &mut receiver).await?;
    Ok(())
}

async fn lose(sender: TcpStream, to: SocketAddr) -> std::io::Result<()> {
    let receiver = TcpStream::connect(to).await?;
    let (mut request, mut onwards) = (sender, receiver);
    {
        let (mut from, _) = request.split();
        let (answer, mut into) = onwards.split();
        tokio::select! {
            copied = tokio::io::copy(&mut from, &mut into) => drop(copied?),
            answered = answer.readable() => answered?,
        }
    }
    // Closed with something unread and without lingering, a connection is reset.
    request.set_zero_linger()
}
