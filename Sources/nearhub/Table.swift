internal import ControlClient
internal import JSON

/// Rows under a header, in aligned columns, for people.
struct Table {
    private let header: [String]
    private var rows: [[String]] = []

    /// An empty table with the given column titles.
    init(_ header: String...) {
        self.header = header
    }

    /// Adds a row; control characters become visible.
    mutating func add(_ cells: String...) {
        rows.append(cells.map { printable($0, limit: .max) })
    }

    /// All lines, columns two blanks apart.
    var text: String {
        var widths = header.map(\.count)
        for row in rows {
            for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
        }
        return ([header] + rows).map { Self.line($0, widths) }.joined(separator: "\n")
    }

    /// One line of cells that are printable already.
    static func line(_ cells: [String], _ widths: [Int]) -> String {
        var line = ""
        for (cell, width) in zip(cells.dropLast(), widths) {
            line += cell + String(repeating: " ", count: max(0, width - cell.count) + 2)
        }
        line += cells.last ?? ""
        while line.last == " " { line.removeLast() }
        return line
    }
}

/// Names and values, one pair a line, for people.
struct Details {
    private var pairs: [(name: String, value: String)] = []

    /// Adds a pair; one without a value is left out.
    mutating func add(_ name: String, _ value: String?) {
        if let value { pairs.append((name, printable(value, limit: .max))) }
    }

    /// All lines, values aligned.
    var text: String {
        let width = pairs.map(\.name.count).max() ?? 0
        return pairs.map { Table.line([$0.name, $0.value], [width]) }.joined(separator: "\n")
    }
}
