//! What one would write today: a chat with a task for each client and a broadcast channel between them.

use std::io::{Error, Result};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use openssl::ssl::{Ssl, SslContext};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_openssl::SslStream;

use super::{announce, server_context};

/// More than the load ever has under way: a client that falls behind further is put out.
const ROOM_LINES: usize = 16_384;

#[derive(Clone)]
struct Said {
    by: u32,
    line: Arc<[u8]>,
}

/// Serves for ever.
pub fn serve(certs: Option<&Path>) -> crate::failure::Result<()> {
    let context = certs.map(server_context).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    Ok(runtime.block_on(listen(context))?)
}

async fn listen(context: Option<SslContext>) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(listener.local_addr()?.port());
    let room = broadcast::Sender::new(ROOM_LINES);
    let mut guest = 0;
    loop {
        let (conn, _) = listener.accept().await?;
        guest += 1;
        // A guest's errors are the guest's end, and nobody else's.
        tokio::spawn(welcome(conn, context.clone(), guest, room.clone()));
    }
}

async fn welcome(
    conn: TcpStream,
    context: Option<SslContext>,
    guest: u32,
    room: broadcast::Sender<Said>,
) -> Result<()> {
    conn.set_nodelay(true)?;
    let Some(context) = context else { return talk(conn, guest, room).await };
    let mut conn = SslStream::new(Ssl::new(&context)?, conn)?;
    Pin::new(&mut conn).accept().await.map_err(Error::other)?;
    talk(conn, guest, room).await
}

async fn talk(conn: impl AsyncRead + AsyncWrite, guest: u32, room: broadcast::Sender<Said>) -> Result<()> {
    let mut heard = room.subscribe();
    let (reader, writer) = split(conn);
    let (mut reader, mut writer) = (BufReader::new(reader), BufWriter::new(writer));
    let listening = async {
        writer.write_all(format!("* 손님{guest}\n").as_bytes()).await?;
        loop {
            writer.flush().await?;
            let mut said = heard.recv().await.map_err(Error::other)?;
            // What is there already goes out with it.
            loop {
                if said.by != guest {
                    writer.write_all(&said.line).await?;
                }
                match heard.try_recv() {
                    Ok(next) => said = next,
                    Err(broadcast::error::TryRecvError::Empty) => break,
                    Err(error) => return Err(Error::other(error)),
                }
            }
        }
    };
    let speaking = async {
        let prefix = format!("[손님{guest}] ").into_bytes();
        let mut line = prefix.clone();
        while reader.read_until(b'\n', &mut line).await? > 0 {
            // Nobody else there is no error.
            let _ = room.send(Said { by: guest, line: line.as_slice().into() });
            line.truncate(prefix.len());
        }
        Ok(())
    };
    tokio::select! { end = listening => end, end = speaking => end }
}
