@testable import CoAPServer

/// Peers and keys by small numbers.
func peer(_ address: UInt64, port: UInt16 = 1000) -> Peer { Peer(address: (0, address), port: port) }

func key<Value>(
    _ address: UInt64, port: UInt16 = 1000, tag: [UInt8] = [], resource: Int = 0
) -> TransferTable<Value>.Key {
    TransferTable.Key(peer: peer(address, port: port), tag: tag, resource: resource)
}
