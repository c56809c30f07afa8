//! Scripted faults.

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Action {
    /// This answer, and nothing is done.
    Respond {
        /// HTTP status.
        status: u16,
        /// Headers.
        headers: Vec<(String, String)>,
        /// Body.
        body: String,
    },
    /// The connection breaks after so many bytes of the answer's body.
    CutBody(usize),
    /// The connection breaks after so many bytes of the request's body; an upload session keeps them.
    CutRequest(usize),
    /// The request is done, and the connection breaks before the answer.
    CutAnswer,
    /// The answer's body has its first byte changed.
    WrongBody,
    /// `Docker-Content-Digest` names other content.
    WrongDigestHeader,
    /// These headers are left out of the answer.
    WithoutHeaders(&'static [&'static str]),
    /// There is no answer, ever.
    Stall,
    /// The answer's body stops after so many bytes, with the connection open.
    StallBody(usize),
}

/// A fault: which requests, from when on, how often.
#[derive(Debug, Clone)]
pub struct Fault {
    method: &'static str,
    path: String,
    skip: usize,
    times: usize,
    action: Action,
}

impl Fault {
    /// Hits the first request of a method with a path; `*` in the path stands for any text.
    pub fn on(method: &'static str, path: &str, action: Action) -> Self {
        Self {
            method,
            path: path.to_owned(),
            skip: 0,
            times: 1,
            action,
        }
    }

    /// As [`Fault::on`], with an answer that has a status alone.
    pub fn status(method: &'static str, path: &str, status: u16) -> Self {
        Self::respond(method, path, status, &[], "")
    }

    /// As [`Fault::on`], with a whole answer.
    pub fn respond(
        method: &'static str,
        path: &str,
        status: u16,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Self {
        let headers = headers
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self::on(
            method,
            path,
            Action::Respond {
                status,
                headers,
                body: body.to_owned(),
            },
        )
    }

    /// Hits the request number `number`, from 1, instead of the first.
    #[must_use]
    pub fn nth(mut self, number: usize) -> Self {
        self.skip = number.saturating_sub(1);
        self
    }

    /// Hits so many requests in a row.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    pub(super) fn left(&self) -> usize {
        self.times
    }

    /// Tells what happens to a request, and counts it.
    pub(super) fn hit(&mut self, method: &str, path: &str) -> Option<Action> {
        if self.times == 0 || method != self.method || !matches(&self.path, path) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.action.clone())
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((start, rest)) => path.strip_prefix(start).is_some_and(|path| {
            (0..=path.len()).any(|at| path.is_char_boundary(at) && matches(rest, &path[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_what_it_names_as_often_as_it_says() {
        let mut fault = Fault::status("PUT", "/v2/*/blobs/uploads/*", 500)
            .nth(2)
            .times(2);
        let mut hit = |method: &str, path: &str| fault.hit(method, path).is_some();
        assert!(!hit("PUT", "/v2/a/b/blobs/uploads/1"));
        assert!(!hit("GET", "/v2/a/b/blobs/uploads/1") && !hit("PUT", "/v2/a/manifests/x"));
        assert!(hit("PUT", "/v2/a/b/blobs/uploads/1"));
        assert!(hit("PUT", "/v2/a/blobs/uploads/"));
        assert!(!hit("PUT", "/v2/a/blobs/uploads/"));
    }
}
