import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import javax.security.auth.x500.X500Principal;

/** Writes the names of x500_names.jsonl anew, from their DER: {@code java Names.java} in this folder (JDK 17). */
public class Names {
    public static void main(String[] arguments) throws Exception {
        Path file = Path.of("x500_names.jsonl");
        StringBuilder lines = new StringBuilder();
        for (String line : Files.readAllLines(file)) {
            String der = line.split("\"")[3];
            String name = new X500Principal(HexFormat.of().parseHex(der)).getName();
            lines.append("{\"der\":\"").append(der).append("\",\"name\":\"").append(escaped(name)).append("\"}\n");
        }
        Files.writeString(file, lines);
    }

    private static String escaped(String text) {
        StringBuilder escaped = new StringBuilder();
        for (char letter : text.toCharArray()) {
            if (letter == '"' || letter == '\\') {
                escaped.append('\\').append(letter);
            } else if (letter < 32 || letter > 126) {
                escaped.append(String.format("\\u%04x", (int) letter));
            } else {
                escaped.append(letter);
            }
        }
        return escaped.toString();
    }
}
