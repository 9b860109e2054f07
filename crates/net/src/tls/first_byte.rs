//! A port that takes clients with TLS and without: the first byte tells.

use everjet_conn::CloseReason;

use super::layer::{HANDSHAKE_RECORD, TlsLayer};
use crate::events::Handshake;
use crate::layer::Layer;

/// TLS if the peer begins with it, else nothing.
pub(crate) enum FirstByte {
    /// Nothing has come yet. Boxed, because most connections leave this state at once.
    Open(Box<TlsLayer>),
    /// The peer began with TLS.
    Tls(Box<TlsLayer>),
    /// The peer began with something else: bytes pass as they are.
    Plain,
}

impl FirstByte {
    fn tls(&self) -> Option<&TlsLayer> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Open(_) | Self::Plain => None,
        }
    }

    fn tls_mut(&mut self) -> Option<&mut TlsLayer> {
        match self {
            Self::Tls(tls) => Some(tls),
            Self::Open(_) | Self::Plain => None,
        }
    }
}

impl Layer for FirstByte {
    fn decode(
        &mut self,
        wire: &mut &[u8],
        plain: &mut Vec<u8>,
        plain_max: usize,
        answer: &mut Vec<u8>,
    ) -> Result<(), CloseReason> {
        if let Some(&first) = wire.first()
            && let Self::Open(_) = self
        {
            *self = match std::mem::replace(self, Self::Plain) {
                Self::Open(tls) if first == HANDSHAKE_RECORD => Self::Tls(tls),
                _ => Self::Plain,
            };
        }
        match self {
            Self::Tls(tls) => tls.decode(wire, plain, plain_max, answer),
            Self::Plain => {
                let room = plain_max.saturating_sub(plain.len()).min(wire.len());
                let (now, later) = wire.split_at(room);
                plain.extend_from_slice(now);
                *wire = later;
                Ok(())
            }
            Self::Open(_) => Ok(()),
        }
    }

    fn encode(&mut self, plain: &[u8], wire: &mut Vec<u8>) {
        match self {
            Self::Tls(tls) => tls.encode(plain, wire),
            Self::Open(_) | Self::Plain => wire.extend_from_slice(plain),
        }
    }

    fn finish(&mut self, reason: CloseReason, wire: &mut Vec<u8>) {
        if let Some(tls) = self.tls_mut() {
            tls.finish(reason, wire);
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Open(_) | Self::Tls(_) => self.tls().is_some_and(Layer::is_ready),
        }
    }

    fn is_transparent(&self) -> bool {
        matches!(self, Self::Plain)
    }

    fn take_handshake(&mut self) -> Option<Handshake> {
        self.tls_mut()?.take_handshake()
    }
}
