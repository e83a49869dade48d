internal import ArgumentParser
internal import Audit
internal import Daemon
internal import EventLoop
internal import Glibc
internal import JSON

/// The command `nearhub audit`.
struct Audit: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what devices and administrators changed, and what was refused.",
        discussion: """
            Reads audit.jsonl and its older files in the state directory, a running hub or not; only root and the hub's \
            own user may. With --json: the lines as they are in the file, one JSON object each. Times are UTC.

              nearhub audit --lines 100
              nearhub audit --follow
              nearhub audit --json --lines 1000000 | jq -c 'select(.reason == "NAME_TAKEN")'
            """)

    @Flag(help: "Go on showing what comes, until Ctrl-C.") var follow = false
    @Option(help: ArgumentHelp("How many of the last lines.", valueName: "n")) var lines = 20
    @OptionGroup var state: StateOption
    @OptionGroup var options: HubOptions

    func validate() throws {
        guard (0...1_000_000).contains(lines) else { throw ValidationError("--lines takes a number up to 1000000") }
    }

    func run() throws {
        let directory = try state.directory(options)
        guard unsafe access("\(directory)/.", X_OK) == 0 else {
            throw Failure(reading: SystemError("open", directory))
        }
        let reader = AuditReader(directory: directory)
        var table = AuditTable()
        try show(reading { () throws(SystemError) in try reader.last(lines) }, &table, isFirst: true)
        while follow {
            usleep(200_000)
            try show(reading { () throws(SystemError) in try reader.next() }, &table, isFirst: false)
        }
    }

    private func show(_ lines: [[UInt8]], _ table: inout AuditTable, isFirst: Bool) throws(Failure) {
        guard !lines.isEmpty || isFirst else { return }
        if options.json {
            try Output.write(lines.flatMap { $0 + [UInt8(ascii: "\n")] })
        } else {
            try Output.write(table.text(lines, withHeader: isFirst))
        }
    }

    private func reading<Result>(_ body: () throws(SystemError) -> Result) throws(Failure) -> Result {
        do { return try body() } catch { throw Failure(reading: error) }
    }
}

extension Failure {
    /// A file of the state that cannot be read.
    init(reading error: SystemError) {
        switch error.code {
        case EACCES, EPERM:
            self.init(.refused, error.subject, error.reason, "only root and the hub's own user may do this")
        case ENOENT: self.init(.inputOutput, error.subject, error.reason, "name the state directory with --state")
        default: self.init(.inputOutput, error.subject, error.reason)
        }
    }
}

/// Lines of the audit log in columns that only ever grow, so that what comes later stands below.
private struct AuditTable {
    private static let header = ["TIME", "FACE", "PEER", "RESULT", "REASON", "PROFILE", "DEVICE"]
    private var widths = header.map(\.count)

    mutating func text(_ lines: [[UInt8]], withHeader: Bool) -> String {
        var rows = lines.map(Self.row)
        if withHeader { rows.insert(Self.header, at: 0) }
        for row in rows {
            for (column, cell) in row.enumerated() { widths[column] = max(widths[column], min(cell.count, 40)) }
        }
        return rows.map { Table.line($0, widths) }.joined(separator: "\n")
    }

    private static func row(_ line: [UInt8]) -> [String] {
        guard let entry = try? JSONValue.parse(line) else {
            return ["?", "", "", "unreadable", "", "", ""]
        }
        let count = entry["count"]?.integer.map { "(\($0) more)" }
        let names: [Text] = ["at", "face", "peer", "result", "reason", "profile", "device"]
        var cells = names.map { printable(entry[$0]?.text?.description ?? "", limit: 255) }
        if let count { cells[6] = count }
        return cells
    }
}
