//! Server-sent events, put together of bytes however these are cut.

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its id, if it has one that can be sent back.
    pub(super) id: Option<String>,
    /// Its data.
    pub(super) data: Vec<u8>,
}

/// An event has more bytes than are accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Reads a stream of events as the HTML standard says. Comments, other fields and events of other types are passed over; the
/// time after which to come back is left to us.
#[derive(Debug)]
pub(super) struct Reader {
    /// The most bytes that an event may have, and hence that are kept here.
    most: usize,
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// The last line ended with a carriage return, to which a line feed may still belong.
    after_return: bool,
    is_first_line: bool,
    data: Option<Vec<u8>>,
    id: Option<String>,
    is_foreign: bool,
}

impl Reader {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            line: Vec::new(),
            after_return: false,
            is_first_line: true,
            data: None,
            id: None,
            is_foreign: false,
        }
    }

    /// Takes bytes up to the end of the next event, or all of them.
    pub(super) fn read(&mut self, bytes: &mut &[u8]) -> Result<Option<Event>, TooLarge> {
        loop {
            if std::mem::take(&mut self.after_return) {
                match bytes.first() {
                    None => {
                        self.after_return = true;
                        return Ok(None);
                    }
                    Some(b'\n') => *bytes = &bytes[1..],
                    Some(_) => {}
                }
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (more, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.held() + more.len() > self.most {
                return Err(TooLarge);
            }
            self.line.extend_from_slice(more);
            let Some((ending, rest)) = rest.split_first() else {
                *bytes = rest;
                return Ok(None);
            };
            self.after_return = *ending == b'\r';
            *bytes = rest;
            if let Some(event) = self.line_ended() {
                return Ok(Some(event));
            }
        }
    }

    /// Whether an event has begun and is not whole yet.
    pub(super) fn is_amid(&self) -> bool {
        self.held() > 0
    }

    fn held(&self) -> usize {
        self.line.len() + self.data.as_ref().map_or(0, Vec::len)
    }

    fn line_ended(&mut self) -> Option<Event> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_first_line) && line.starts_with(b"\xEF\xBB\xBF") {
            line.drain(..3);
        }
        if line.is_empty() {
            let (data, id) = (self.data.take(), self.id.take());
            let is_foreign = std::mem::take(&mut self.is_foreign);
            return data.filter(|_| !is_foreign).map(|data| Event { id, data });
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = match line.get(colon + 1) {
            Some(b' ') => colon + 2,
            Some(_) => colon + 1,
            None => line.len(),
        };
        match &line[..colon] {
            b"data" => {
                line.drain(..value);
                match &mut self.data {
                    // Ours have one line: nothing is copied.
                    none @ None => *none = Some(line),
                    Some(data) => {
                        data.push(b'\n');
                        data.append(&mut line);
                    }
                }
            }
            b"id" => {
                let id = std::str::from_utf8(&line[value..]).ok();
                self.id = id
                    .filter(|id| !id.is_empty() && id.bytes().all(|it| it.is_ascii_graphic()))
                    .map(str::to_owned);
            }
            b"event" => self.is_foreign = !matches!(&line[value..], b"" | b"message"),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(reader: &mut Reader, mut bytes: &[u8]) -> Result<Vec<(Option<String>, String)>, TooLarge> {
        let mut events = Vec::new();
        while let Some(Event { id, data }) = reader.read(&mut bytes)? {
            events.push((id, String::from_utf8(data).unwrap()));
        }
        assert!(bytes.is_empty());
        Ok(events)
    }

    #[test]
    fn streams_are_read_as_the_standard_says() {
        for (stream, expected) in [
            ("", vec![]),
            ("data: a", vec![]),
            ("data: a\n", vec![]),
            ("data: a\n\n", vec![(None, "a")]),
            ("\u{feff}data: a\n\ndata: b\r\n\r\ndata:c\r\r", vec![(None, "a"), (None, "b"), (None, "c")]),
            ("id: x-1\ndata: a\n\ndata: b\n\n", vec![(Some("x-1"), "a"), (None, "b")]),
            ("data: a\nid: 1\n\n", vec![(Some("1"), "a")]),
            ("retry: 1000\n\n: still here\n\ndata:  a\ndata: b\n\n", vec![(None, " a\nb")]),
            ("data\n\n", vec![(None, "")]),
            ("data:\ndata:\n\n", vec![(None, "\n")]),
            ("id: 1\n\ndata: a\n\n", vec![(None, "a")]),
            ("event: other\ndata: a\n\nevent: message\ndata: b\n\n", vec![(None, "b")]),
            (
                "id: a\0b\ndata: a\n\nid: ä\ndata: b\n\nid\ndata: c\n\n",
                vec![(None, "a"), (None, "b"), (None, "c")],
            ),
            ("datum: a\ndata : b\n\n", vec![]),
        ] {
            let events = all(&mut Reader::new(64), stream.as_bytes()).unwrap();
            let events: Vec<_> = events.iter().map(|(id, data)| (id.as_deref(), data.as_str())).collect();
            assert_eq!(events, expected, "{stream:?}");
        }
    }

    #[test]
    fn more_than_is_accepted_is_not_kept() {
        let mut reader = Reader::new(10);
        assert_eq!(all(&mut reader, b"data: 1234\n\ndata: 5678\n\n").unwrap().len(), 2);
        assert_eq!(all(&mut reader, b"data: 12345"), Err(TooLarge));
        let mut reader = Reader::new(10);
        assert_eq!(all(&mut reader, b"data: 1234\ndata: 5\n"), Err(TooLarge));
        // However it comes.
        let mut reader = Reader::new(10);
        let mut held = (0..100).map(|_| all(&mut reader, b"x"));
        assert_eq!(held.find(Result::is_err), Some(Err(TooLarge)));
        assert!(reader.held() <= 10);
    }

    proptest! {
        #[test]
        fn how_a_stream_is_cut_does_not_matter(
            pieces in prop::collection::vec(prop::sample::select(vec!["data: a", "data: b", "id: 1", "\n", "\r", "\r\n", "\n\n", ": c", "x"]), 0..30),
            cuts in prop::collection::vec(0..200_usize, 0..10),
        ) {
            let stream = pieces.concat();
            let whole = all(&mut Reader::new(1_000), stream.as_bytes()).unwrap();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).chain([0, stream.len()]).collect();
            cuts.sort_unstable();
            let mut reader = Reader::new(1_000);
            let mut cut = Vec::new();
            for pair in cuts.windows(2) {
                cut.extend(all(&mut reader, &stream.as_bytes()[pair[0]..pair[1]]).unwrap());
            }
            prop_assert_eq!(cut, whole);
        }

        #[test]
        fn any_bytes_are_read_within_the_limit(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let (mut reader, mut rest) = (Reader::new(100), &bytes[..]);
            while let Ok(Some(event)) = reader.read(&mut rest) {
                prop_assert!(event.data.len() <= 100);
            }
            prop_assert!(reader.held() <= 100);
        }
    }
}
