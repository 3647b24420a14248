//! A proxy that does something to the answers of its first connection, and nothing to those of the others.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::Server;

/// What it does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// After so many bytes both directions are closed.
    Cut(usize),
    /// After so many bytes the client is sent the end; what it sends is still taken.
    HalfClose(usize),
    /// The byte at this place is another one.
    Garble(usize, u8),
    /// So many bytes come at a time, with this pause before them.
    Delay(usize, Duration),
}

pub(crate) fn start(target: SocketAddr, fault: Fault) -> Server {
    Server::script(move |client, number| {
        let Ok(server) = TcpStream::connect(target) else { return };
        server.set_nodelay(true).unwrap();
        client.set_nodelay(true).unwrap();
        let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let requests = thread::spawn(move || forward(&from, &to));
        if number == 0 {
            answer(&server, &client, fault);
        } else {
            forward(&server, &client);
        }
        let _ = client.shutdown(Shutdown::Write);
        if !matches!(fault, Fault::HalfClose(_)) {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        }
        requests.join().unwrap();
    })
}

/// Until one of them closes.
fn forward(mut from: &TcpStream, mut to: &TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(len @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn answer(mut server: &TcpStream, mut client: &TcpStream, fault: Fault) {
    let (mut bytes, mut at) = ([0; 4096], 0);
    while let Ok(len @ 1..) = server.read(&mut bytes) {
        let chunk = &mut bytes[..len];
        let sent = match fault {
            Fault::Cut(after) | Fault::HalfClose(after) if at + len >= after => {
                let _ = client.write_all(&chunk[..after - at]);
                return;
            }
            Fault::Cut(_) | Fault::HalfClose(_) => client.write_all(chunk),
            Fault::Garble(place, mask) => {
                if let Some(byte) = place.checked_sub(at).and_then(|place| chunk.get_mut(place)) {
                    *byte ^= mask;
                }
                client.write_all(chunk)
            }
            Fault::Delay(step, pause) => chunk.chunks(step).try_for_each(|piece| {
                thread::sleep(pause);
                client.write_all(piece)
            }),
        };
        if sent.is_err() {
            return;
        }
        at += len;
    }
}
