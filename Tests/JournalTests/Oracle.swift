internal import JSON
internal import TestSupport

@testable internal import Journal

/// The rules of recovery once more, over the whole file in memory and without regard to speed.
enum Verdict: Equatable {
    case good(seqs: [Int64], end: Int)
    case damaged(at: Int)

    private typealias Piece = (start: Int, end: Int, json: JSONValue?)

    init(_ data: [UInt8]) {
        let pieces = Self.pieces(data)
        let whole = pieces.compactMap(\.json)
        let proofs = whole.compactMap { ($0["durable"] ?? $0["upto"])?.integer }
        let durable = proofs.max() ?? 0
        func isProven(_ piece: Piece) -> Bool {
            guard let json = piece.json else { return false }
            if let seq = json["seq"]?.integer { return seq <= durable }
            return json["mark"] == .text("head") || json["mark"] == .text("seal")
        }
        let provenEnd = pieces.filter(isProven).map(\.end).max() ?? 0
        guard let first = pieces.first else { self = .good(seqs: [], end: 0); return }
        guard let top = first.json, top["mark"] == .text("head") else {
            let isTorn = proofs.isEmpty && data.count <= head.count && whole.isEmpty
            self = isTorn ? .good(seqs: [], end: 0) : .damaged(at: 0)
            return
        }
        var isSealed = top["gen"] == .integer(1)
        var last: Int64 = 0
        var seqs: [Int64] = []
        var end = first.end
        for piece in pieces.dropFirst() {
            var isRight = piece.json != nil
            if let seq = piece.json?["seq"]?.integer {
                isRight = isSealed ? seq == last + 1 : seq > last
                if isRight { last = seq; seqs.append(seq) }
            } else if let upto = piece.json?["upto"]?.integer {
                isRight = !isSealed && upto >= last && piece.json?["lines"] == .integer(Int64(seqs.count))
                if isRight { last = upto; isSealed = true }
            } else if piece.json?["mark"] == .text("head") {
                isRight = false
            }
            if !isRight {
                if piece.start < provenEnd { self = .damaged(at: piece.start); return }
                break
            }
            end = piece.end
        }
        self = isSealed && last >= durable ? .good(seqs: seqs, end: end) : .damaged(at: end)
    }

    private static func pieces(_ data: [UInt8]) -> [Piece] {
        var pieces: [Piece] = []
        var start = 0
        while start < data.count {
            guard let newline = data[start...].firstIndex(of: 0x0A) else {
                pieces.append((start, data.count, nil))
                break
            }
            var cut = start
            var json = whole(data[start..<newline])
            while json == nil, cut + 1 < newline {
                cut += 1
                let rest = data[cut..<newline]
                guard rest.starts(with: "{\"seq\":".utf8) || rest.starts(with: "{\"mark\":".utf8) else { continue }
                json = whole(rest)
            }
            if json != nil, cut > start { pieces.append((start, cut, nil)) }
            pieces.append((json == nil ? start : cut, newline + 1, json))
            start = newline + 1
        }
        return pieces
    }

    private static func whole(_ line: ArraySlice<UInt8>) -> JSONValue? {
        guard line.count > 27, line.count < 128 * 1024 else { return nil }
        var again = Array(line.dropLast(27))
        again.closeLine(from: 0)
        guard again.dropLast() == line else { return nil }
        return try? JSONValue.parse(Array(line))
    }
}

/// What recovery, changing nothing, makes of the bytes; nil when it refuses for another reason than damage.
func verdict(_ directory: TemporaryDirectory) throws -> Verdict? {
    var seqs: [Int64] = []
    do {
        let recovery = try Log.verify(directory: directory.path, name: "devices") { record, _ in
            seqs.append(Int64(record.seq))
        }
        return .good(seqs: seqs, end: Int(recovery.bytes))
    } catch let error {
        guard case .damaged(let offset, _, _) = error.kind else { return nil }
        return .damaged(at: Int(offset))
    }
}
