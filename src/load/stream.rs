//! A socket of the load generator, with or without TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use super::handshakes::Handshake;
use super::tls::{ClientSession, ClientTls};

#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    /// In a box, because a load without TLS may have many connections.
    session: Option<Box<ClientSession>>,
}

/// What one read has received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// From the socket; 0 is the end of the connection.
    pub(super) bytes: usize,
    /// The socket had less than there was space for.
    pub(super) is_drained: bool,
}

impl Stream {
    /// Over a socket that is connected or connects. With TLS, the first message is unsent.
    pub(super) fn start(socket: TcpStream, tls: Option<&ClientTls>) -> io::Result<Stream> {
        let session = tls.map(ClientSession::start).transpose()?.map(Box::new);
        Ok(Stream { socket, session })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(super) fn into_socket(self) -> TcpStream {
        self.socket
    }

    /// Whether requests can be written: the handshake is complete.
    pub(super) fn is_open(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.is_open())
    }

    /// Once for each connection with TLS: what kind of handshake it has completed.
    pub(super) fn take_handshake(&mut self) -> Option<Handshake> {
        self.session.as_mut()?.take_handshake()
    }

    /// Whether TLS has bytes that the socket has not accepted.
    pub(super) fn has_unsent(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.unsent().is_empty())
    }

    /// Writes once. Returns how much of `content` has been taken over. With TLS, this may be all of
    /// it, although [`Stream::has_unsent`]; during the handshake, it is nothing.
    ///
    /// # Errors
    /// Those of write(2). `WouldBlock` also if the handshake has to be completed first.
    pub(super) fn write(&mut self, content: &[u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.socket.write(content) };
        let is_taken = session.is_open() && !content.is_empty();
        if is_taken {
            session.encrypt(content)?;
        }
        if session.unsent().is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        match self.socket.write(session.unsent()) {
            Ok(sent) => session.advance(sent),
            // What was taken over is written later.
            Err(_) if is_taken => {}
            Err(error) => return Err(error),
        }
        Ok(if is_taken { content.len() } else { 0 })
    }

    /// Reads once, at most `bytes_max`, and passes the content to `take`. The buffer has to have
    /// space for a record more.
    ///
    /// # Errors
    /// Those of read(2); `InvalidData` from TLS.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        bytes_max: usize,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<Received> {
        let start = self.session.as_ref().map_or(0, |session| session.input_bytes());
        let end = (start + bytes_max).min(buffer.len());
        let bytes = self.socket.read(&mut buffer[start..end])?;
        let received = &mut buffer[..start + bytes];
        match &mut self.session {
            None => take(received),
            Some(session) => session.receive(received, &mut take)?,
        }
        Ok(Received { bytes, is_drained: bytes < end - start })
    }

    /// Reads once and drops what it receives.
    ///
    /// # Errors
    /// Those of read(2).
    pub(super) fn discard(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let bytes = self.socket.read(buffer)?;
        Ok(Received { bytes, is_drained: bytes < buffer.len() })
    }

    /// Completes the handshake over a blocking socket.
    ///
    /// # Errors
    /// From a system call, or from TLS.
    pub(super) fn complete_handshake(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.flush()?;
        while !self.is_open() {
            // Nothing can be decrypted before there are keys.
            if self.read(buffer, buffer.len(), |_| {})?.bytes == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.flush()?;
        }
        // It belongs to no run.
        self.take_handshake();
        Ok(())
    }

    /// Writes all of `content` over a blocking socket, or one that has space for it.
    ///
    /// # Errors
    /// Those of write(2).
    pub(super) fn write_all(&mut self, mut content: &[u8]) -> io::Result<()> {
        while !content.is_empty() {
            let taken = self.write(content)?;
            content = &content[taken..];
        }
        self.flush()
    }

    /// Writes what TLS has unsent.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.has_unsent() {
            self.write(&[])?;
        }
        Ok(())
    }
}
