//! Bytes of texts, as they are or in gzip.
//!
//! *Never:* what the texts are.

use bytes::Bytes;

use super::Packing;
use crate::gzip::{self, Deflater, Sum};

/// Makes bytes of texts.
#[derive(Debug)]
pub(super) struct Packer {
    deflater: Option<Deflater>,
}

/// The pieces of a page, as they come.
pub(super) struct Pieces {
    packer: Packer,
    done: Vec<Bytes>,
    /// What comes next, not packed yet.
    pub(super) lines: String,
    /// Of all that is done.
    sum: Sum,
}

// === impl Packer ===

impl Packer {
    pub(super) fn new(packing: Packing) -> Self {
        Self { deflater: (packing == Packing::Gzip).then(Deflater::default) }
    }

    pub(super) fn packing(&self) -> Packing {
        if self.deflater.is_some() { Packing::Gzip } else { Packing::Plain }
    }

    pub(super) fn pack(&mut self, text: String) -> (Bytes, Sum) {
        match &mut self.deflater {
            None => (text.into_boxed_str().into_boxed_bytes().into(), Sum::default()),
            Some(deflater) => {
                let mut packed = Vec::with_capacity(text.len() / 4);
                deflater.deflate(text.as_bytes(), &mut packed);
                (packed.into_boxed_slice().into(), Sum::of(text.as_bytes()))
            }
        }
    }
}

// === impl Pieces ===

impl Pieces {
    pub(super) fn new(packing: Packing) -> Self {
        let start = match packing {
            Packing::Plain => Vec::new(),
            Packing::Gzip => vec![Bytes::from_static(&gzip::HEADER)],
        };
        Self { packer: Packer::new(packing), done: start, lines: String::new(), sum: Sum::default() }
    }

    pub(super) fn push(&mut self, piece: &Bytes, sum: Sum) {
        self.pack_lines();
        self.done.push(piece.clone());
        self.sum = self.sum.then(sum);
    }

    fn pack_lines(&mut self) {
        if !self.lines.is_empty() {
            let (piece, sum) = self.packer.pack(std::mem::take(&mut self.lines));
            self.done.push(piece);
            self.sum = self.sum.then(sum);
        }
    }

    pub(super) fn finish(mut self) -> Vec<Bytes> {
        self.pack_lines();
        match self.packer.packing() {
            Packing::Plain => {}
            Packing::Gzip => self.done.push(gzip::trailer(self.sum).into()),
        }
        self.done
    }
}
