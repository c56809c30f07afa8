//! Passwords of keys: from the environment, else typed at the terminal without an echo.

use reseal_registry::Secret;
use reseal_sign::key::KeyError;

use crate::environment::Env;

/// The variable that cosign reads as well.
const VARIABLE: &str = "COSIGN_PASSWORD";

/// Returns the password of a key: `COSIGN_PASSWORD` where it is set, even if it is empty, else what is typed.
///
/// Standard input is never read: it may be a report.
pub(crate) fn ask(env: &Env, prompt: &str) -> Result<Secret, KeyError> {
    match env.variables.get(VARIABLE) {
        Some(password) => Ok(Secret::new(password.clone())),
        None => terminal::ask(prompt),
    }
}

/// Returns the password of a new key. What is typed is asked for twice.
pub(crate) fn choose(env: &Env) -> Result<Secret, KeyError> {
    if let Some(password) = env.variables.get(VARIABLE) {
        return Ok(Secret::new(password.clone()));
    }
    let password = terminal::ask("New password of the key: ")?;
    if terminal::ask("The same again: ")? != password {
        return Err(missing("the two are not the same"));
    }
    Ok(password)
}

fn missing(why: &str) -> KeyError {
    KeyError::NoPassword {
        why: why.to_owned(),
    }
}

#[cfg(unix)]
mod terminal {
    use std::{
        fs::File,
        io::{Read as _, Write as _},
    };

    use reseal_registry::Secret;
    use reseal_sign::key::KeyError;
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    use super::{VARIABLE, missing};

    const INTERRUPT: u8 = 3; // Ctrl-C
    const END: u8 = 4; // Ctrl-D
    const ERASE_LINE: u8 = 0x15; // Ctrl-U

    /// The terminal, which gives every key as it is typed and shows none until this goes. Ctrl-C comes as a key as well:
    /// a process that dies here would leave a terminal without an echo behind.
    struct Hidden {
        file: File,
        before: Termios,
    }

    impl Hidden {
        fn open() -> std::io::Result<Self> {
            let file = File::options().read(true).write(true).open("/dev/tty")?;
            let before = tcgetattr(&file)?;
            let mut hidden = before.clone();
            let shown = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
            hidden.local_modes.remove(shown);
            tcsetattr(&file, OptionalActions::Drain, &hidden)?;
            Ok(Self { file, before })
        }
    }

    impl Drop for Hidden {
        fn drop(&mut self) {
            let _ = self.file.write_all(b"\n");
            let _ = tcsetattr(&self.file, OptionalActions::Drain, &self.before);
        }
    }

    pub(super) fn ask(prompt: &str) -> Result<Secret, KeyError> {
        let mut terminal = Hidden::open()
            .map_err(|_| missing(&format!("{VARIABLE} is not set, and there is no terminal")))?;
        let unreadable = |error: std::io::Error| missing(&error.to_string());
        terminal
            .file
            .write_all(prompt.as_bytes())
            .map_err(unreadable)?;
        let mut typed = Vec::new();
        let mut key = [0];
        loop {
            if terminal.file.read(&mut key).map_err(unreadable)? == 0 {
                break;
            }
            match key[0] {
                b'\n' | b'\r' | END => break,
                INTERRUPT => return Err(missing("it was interrupted")),
                ERASE_LINE => typed.clear(),
                8 | 127 => erase(&mut typed),
                byte => typed.push(byte),
            }
        }
        String::from_utf8(typed)
            .map(Secret::new)
            .map_err(|_| missing("what was typed is no text"))
    }

    /// Takes the last character back, all of its bytes.
    fn erase(typed: &mut Vec<u8>) {
        while let Some(byte) = typed.pop() {
            if byte & 0xC0 != 0x80 {
                break;
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::erase;

        #[test]
        fn a_character_is_taken_back_as_a_whole() {
            let mut typed = "aé€".as_bytes().to_vec();
            for left in ["aé", "a", "", ""] {
                erase(&mut typed);
                assert_eq!(typed, left.as_bytes());
            }
        }
    }
}

#[cfg(not(unix))]
mod terminal {
    use reseal_registry::Secret;
    use reseal_sign::key::KeyError;

    pub(super) fn ask(_: &str) -> Result<Secret, KeyError> {
        Err(super::missing(&format!("{} is not set", super::VARIABLE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::env;

    #[test]
    fn a_variable_that_is_set_counts_even_if_it_is_empty() {
        for password in ["", "hunter2"] {
            let env = env(&[(VARIABLE, password)]);
            assert_eq!(ask(&env, "").unwrap().expose(), password);
            assert_eq!(choose(&env).unwrap().expose(), password);
        }
    }
}
