//! A protocol of its own, for examples that speak no HTTP: what is wanted, and then all that comes.

use http::{Request, Response};
use http_body_util::Full;
use proto::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// One request of that protocol: what is wanted, and then all that comes.
///
/// # Errors
///
/// When there is no connection, or it breaks.
pub async fn ask(server: Address, request: Request<()>) -> std::io::Result<Response<Full<bytes::Bytes>>> {
    let mut connection = TcpStream::connect((server.host(), server.port())).await?;
    connection.write_all(request.uri().path().as_bytes()).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    Ok(Response::new(Full::from(answer)))
}

/// Says what time it is to whoever asks, again and again.
///
/// # Errors
///
/// When a connection cannot be accepted, or breaks.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut connection, _) = listener.accept().await?;
        // What was asked is taken first: closed with some of it unread, a connection is broken off.
        let _ = connection.read(&mut [0; 64]).await?;
        connection.write_all(b"noon").await?;
    }
}
