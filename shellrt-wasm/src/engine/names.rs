//! Looking up names, for the names that a config lists and no other.

use std::net::IpAddr;

use shellrt_plugin::lookup;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, Host, HostResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, HostNetwork, IpAddress};
use wasmtime_wasi::p2::{DynPollable, Network, SocketError};
use wasmtime_wasi::sockets::WasiSocketsView;

use super::component::State;

/// The resource that gives the addresses of a name, one by one.
type Addresses = ip_name_lookup::ResolveAddressStream;

/// The engine's own look-up with a guard in front.
struct Guarded;

impl HasData for Guarded {
    type Data<'a> = Guard<'a>;
}

struct Guard<'a>(&'a mut State);

/// Replaces the engine's look-up, which knows only all names or none.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<State, Guarded>(linker, |state| Guard(state))?;
    linker.allow_shadowing(false);
    Ok(())
}

impl Host for Guard<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<Addresses>, SocketError> {
        let literal = name.parse::<IpAddr>().is_ok();
        if !literal && !self.0.allowed().names(&name) {
            return Err(ErrorCode::AccessDenied.into());
        }
        // The engine asks the C library, which must not take up sources that end this process.
        lookup::keep_to_built_in();
        let stream = self.0.sockets().resolve_addresses(network, name.clone())?;
        if !literal {
            self.0.lookups.insert(stream.rep(), name);
        }
        Ok(stream)
    }
}

impl HostResolveAddressStream for Guard<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<Addresses>,
    ) -> Result<Option<IpAddress>, SocketError> {
        let rep = stream.rep();
        let address = self.0.sockets().resolve_next_address(stream)?;
        if let (Some(address), Some(name)) = (address, self.0.lookups.get(&rep)) {
            let address = match address {
                IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
                IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
            };
            self.0.allowed().resolved(name, address);
        }
        Ok(address)
    }

    fn subscribe(
        &mut self,
        stream: Resource<Addresses>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        self.0.sockets().subscribe(stream)
    }

    fn drop(&mut self, stream: Resource<Addresses>) -> wasmtime::Result<()> {
        self.0.lookups.remove(&stream.rep());
        HostResolveAddressStream::drop(&mut self.0.sockets(), stream)
    }
}

// The rest is the engine's own; the trait wants it said.

impl network::Host for Guard<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        self.0.sockets().convert_error_code(error)
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.0.sockets().network_error_code(error)
    }
}

impl HostNetwork for Guard<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        HostNetwork::drop(&mut self.0.sockets(), network)
    }
}
