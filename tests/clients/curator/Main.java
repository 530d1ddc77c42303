import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Runs Curator's recipes against a server. Usage: Main HOST:PORT [GROUP...]. One line per recipe; exits with 1 if one failed.
 * Every recipe works under a path of its own, through clients of its own.
 */
public final class Main {
    private static final long LIMIT_MS = 60_000;

    private Main() {}

    public static void main(String[] arguments) throws Exception {
        Map<String, Map<String, Recipe>> groups = new LinkedHashMap<>();
        groups.put("locks", Locks.recipes());
        groups.put("leaders", Leaders.recipes());
        groups.put("caches", Caches.recipes());
        groups.put("counters", Counters.recipes());
        groups.put("nodes", Nodes.recipes());
        groups.put("queues", Queues.recipes());
        groups.put("sessions", Sessions.recipes());

        String address = arguments[0];
        List<String> chosen = new ArrayList<>(Arrays.asList(arguments).subList(1, arguments.length));
        if (chosen.isEmpty()) {
            chosen.addAll(groups.keySet());
        }
        int failures = 0;
        for (String group : chosen) {
            Map<String, Recipe> recipes = groups.get(group);
            if (recipes == null) {
                throw new IllegalArgumentException("no group is called " + group);
            }
            for (Map.Entry<String, Recipe> recipe : recipes.entrySet()) {
                failures += run(address, group, recipe.getKey(), recipe.getValue()) ? 0 : 1;
            }
        }
        System.out.println(failures == 0 ? "all recipes passed" : failures + " recipes FAILED");
        // Threads of a recipe that failed may still be waiting.
        System.exit(failures == 0 ? 0 : 1);
    }

    private static boolean run(String address, String group, String name, Recipe recipe) throws InterruptedException {
        long begun = System.nanoTime();
        Throwable[] failure = new Throwable[1];
        Thread thread = new Thread(() -> {
            try (Clients clients = new Clients(address, "/curator/" + name)) {
                recipe.run(clients);
            } catch (Throwable caught) {
                failure[0] = caught;
            }
        }, name);
        thread.setDaemon(true);
        thread.start();
        thread.join(LIMIT_MS);
        if (thread.isAlive()) {
            failure[0] = new AssertionError("not done within " + LIMIT_MS + " ms");
            failure[0].setStackTrace(thread.getStackTrace());
        }
        long took = (System.nanoTime() - begun) / 1_000_000;
        System.out.printf("%-6s %s: %s (%d ms)%n", failure[0] == null ? "ok" : "FAILED", group, name, took);
        if (failure[0] != null) {
            failure[0].printStackTrace(System.out);
        }
        return failure[0] == null;
    }
}
