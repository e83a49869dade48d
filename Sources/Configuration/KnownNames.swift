extension ConfigurationKey {
    /// The key of a section and a name.
    ///
    /// - Parameters:
    ///   - section: the section, without brackets.
    ///   - name: the key's name.
    ///   - location: where the name stands.
    ///   - sectionLocation: where the section stands.
    /// - Throws: an unknown section or key, with the known one that comes nearest.
    static func find(
        section: String, name: String, at location: String, sectionAt sectionLocation: String
    ) throws(ConfigurationError) -> ConfigurationKey {
        if let key = all.first(where: { $0.section == section && $0.name == name }) { return key }
        let siblings = all.filter { $0.section == section }.map(\.name)
        let namesake = all.first { $0.name == name.lowercased() }
        guard !siblings.isEmpty else {
            let problem =
                section.isEmpty
                ? "\(quoted(name)) stands outside of any section" : "unknown section [\(unquoted(section))]"
            throw ConfigurationError(at: sectionLocation, problem, advice: sectionAdvice(section, namesake: namesake))
        }
        let advice =
            if let first = name.split(separator: " ").first, first != name, siblings.contains(String(first)) {
                "a = belongs behind '\(first)'"
            } else if let near = nearest(to: name, among: siblings) {
                "did you mean '\(near)'?"
            } else if let namesake {
                "that key belongs in [\(namesake.section)]"
            } else {
                "[\(section)] knows \(siblings.joined(separator: ", "))"
            }
        throw ConfigurationError(at: location, "unknown key \(quoted(name)) in [\(section)]", advice: advice)
    }

    private static func sectionAdvice(_ section: String, namesake: ConfigurationKey?) -> String {
        let sections = all.map(\.section).reduce(into: [String]()) { known, section in
            if !known.contains(section) { known.append(section) }
        }
        if let near = nearest(to: section, among: sections) { return "did you mean [\(near)]?" }
        if let namesake { return "that key belongs in [\(namesake.section)]" }
        return "the sections are \(sections.map { "[\($0)]" }.joined(separator: ", "))"
    }
}

/// The candidate that differs least from a word; nil when all differ by more than a third, at least two letters.
func nearest(to word: String, among candidates: [String]) -> String? {
    let word = Array(word.lowercased().utf8.prefix(64))
    guard !word.isEmpty else { return nil }
    let distances = candidates.map { (name: $0, distance: editDistance(word, Array($0.utf8))) }
    guard let best = distances.min(by: { $0.distance < $1.distance }) else { return nil }
    return best.distance <= max(2, best.name.utf8.count / 3) && best.distance < best.name.utf8.count ? best.name : nil
}

/// The least number of bytes to insert, delete or replace to make one word of the other (Levenshtein).
private func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var row = Array(0...right.count)
    for (index, byte) in left.enumerated() {
        var diagonal = row[0]
        row[0] = index + 1
        for column in right.indices {
            let replaced = diagonal + (byte == right[column] ? 0 : 1)
            diagonal = row[column + 1]
            row[column + 1] = min(replaced, row[column] + 1, diagonal + 1)
        }
    }
    return row[right.count]
}
