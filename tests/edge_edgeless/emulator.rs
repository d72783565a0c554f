//! A session of `edgeless-cli`, byte by byte.

use tests::edgeless::Edged;
use tests::emulator::session;

#[test]
fn a_session() {
    let edged = Edged::start(&[]);
    let typed =
        "call hello\ncall noret\ncall err\ncall recall a m n\ncall recall-raw N F m\n\ndance\n\
                 help\nstop\nstop\ncall hello\nquit\n";
    let expected = "\
the function runs
reply: hello
no reply
error
call to a: m n
reply: m n
call to N/F: m
reply: m
there is no command \"dance\"; try help
cast MESSAGE   sends the function something that is not answered
call MESSAGE   asks the function, and prints its answer
stop           stops the function
quit           stops the function, if it was not, and ends
help           prints this
the function is stopped
the function refuses \"stop\": \"stop\" does not fit: the function \"function\" is not booted (The system \
is not in a state required for the operation's execution)
error
";
    assert_eq!(
        session(edged.ports[0], typed),
        (expected.to_owned(), Some(0))
    );
    // The end of the input is as good as `quit`.
    let expected = "the function runs\nreply: x\nthe function is stopped\n";
    assert_eq!(
        session(edged.ports[0], "call x\n"),
        (expected.to_owned(), Some(0))
    );
}
