//! What lies behind an error.

use std::error::Error;
use std::io;

/// Joins the chain of causes, less what a cause repeats of the one before.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut link = error.source();
    while let Some(cause) = link {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        link = cause.source();
    }
    text
}

/// Returns the TLS errors in a chain of causes, outermost first.
pub fn tls_errors<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a rustls::Error> {
    std::iter::successors(Some(error), |&link| link.source()).filter_map(tls_error)
}

/// Finds a TLS error in a cause. I/O errors hide what they wrap from the chain of causes, and may wrap one another.
fn tls_error<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = cause.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    tls_error(cause.downcast_ref::<io::Error>()?.get_ref()?)
}

/// Returns why a file could not be used, in words, and whether the disk is full.
pub fn disk(error: &io::Error) -> (String, bool) {
    let full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let why = if full {
        "no space is left on the disk".to_owned()
    } else {
        error.to_string()
    };
    (why, full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_however_deep_it_is_wrapped() {
        let tls = rustls::Error::NoCertificatesPresented;
        let wrapped = io::Error::other(io::Error::other(tls));
        assert_eq!(tls_errors(&wrapped).count(), 1);
        assert_eq!(tls_errors(&io::Error::other("plain")).count(), 0);
    }

    #[test]
    fn a_full_disk_is_told_in_words() {
        assert_eq!(
            disk(&io::Error::from_raw_os_error(28)),
            ("no space is left on the disk".to_owned(), true)
        );
        assert!(!disk(&io::Error::from_raw_os_error(13)).1);
    }
}
