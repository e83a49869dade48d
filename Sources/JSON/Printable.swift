/// Text of a stranger, safe to print: control and formatting characters become their escapes.
///
/// - Parameters:
///   - text: any text, such as the name of a device.
///   - limit: how many characters (Unicode scalars) are kept.
public func printable(_ text: some StringProtocol, limit: Int = 300) -> String {
    var result = ""
    for scalar in text.unicodeScalars.prefix(limit) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: result += scalar.escaped(asASCII: true)
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + (text.unicodeScalars.count > limit ? "…" : "")
}
