//! How many bytes a second go through a link: what comes faster waits a moment, and is dropped then.
//!
//! Source: tc-tbf(8), include/uapi/linux/pkt_sched.h.

use super::Request;
use crate::netlink::{Attributes, Message, flag};

const NEWQDISC: u16 = 36;

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TBF_PARMS: u16 = 1;
const TBF_RATE64: u16 = 4;
const TBF_BURST: u16 = 6;
const ROOT: u32 = u32::MAX;
const ETHERNET: u8 = 1;
const KIND: &str = "tbf";

/// Bytes that may go at once: a packet that the kernel has not cut yet, at least.
const BURST: u64 = 128 * 1024;

/// struct tcmsg.
fn header(link: u32) -> Vec<u8> {
    let numbers = [0, link, 0, ROOT, 0];
    numbers
        .iter()
        .flat_map(|it: &u32| it.to_ne_bytes())
        .collect()
}

/// At most `rate` bytes a second leave by the link.
pub fn limit(link: u32, rate: u64) -> Request {
    let short = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    // A hundredth of a second at once, and a twentieth that waits.
    let burst = BURST.max(rate / 100);
    let waiting = burst + rate / 20;
    // struct tc_ratespec, twice: the second is for a peak that there is none of.
    let mut parameters = vec![0, ETHERNET, 0, 0, 0, 0, 0, 0];
    parameters.extend(short(rate).to_ne_bytes());
    parameters.extend([0; 12]);
    for number in [short(waiting), short(burst), 0] {
        parameters.extend(number.to_ne_bytes());
    }
    let options = Attributes::default()
        .bytes(TBF_PARMS, &parameters)
        .bytes(TBF_RATE64, &rate.to_ne_bytes())
        .u32(TBF_BURST, short(burst));
    let attributes = Attributes::default()
        .text(TCA_KIND, KIND)
        .nest(TCA_OPTIONS, options);
    let flags = flag::CREATE | flag::REPLACE;
    let message = Message::new(NEWQDISC, flags, &header(link), &attributes);
    Request::new(format!("hold a link to {rate} bytes a second"), message)
}

/// Of each link that is held to one: what the kernel has understood.
#[cfg(test)]
pub fn limits(socket: &mut crate::netlink::Socket) -> std::io::Result<Vec<(u32, u64)>> {
    use crate::netlink::{Reply, find, text, u32_of};
    const GETQDISC: u16 = 38;
    let message = Message::new(GETQDISC, 0, &[0; 20], &Attributes::default());
    let limit = |reply: &Reply| {
        let (header, attributes) = reply.body.split_first_chunk::<20>()?;
        let kind = find(attributes, TCA_KIND).map(text)?;
        let options = find(attributes, TCA_OPTIONS).filter(|_| kind == KIND)?;
        let rate = find(options, TBF_PARMS)?.get(8..12).and_then(u32_of)?;
        Some((u32_of(header.get(4..8)?)?, rate.into()))
    };
    Ok(socket.dump(&message)?.iter().filter_map(limit).collect())
}
