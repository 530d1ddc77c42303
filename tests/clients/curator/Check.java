import java.util.Objects;
import java.util.concurrent.Callable;

/** Assertions. Java's own are off by default. */
final class Check {
    private static final long LIMIT_MS = 20_000;

    private Check() {}

    interface Attempt {
        void run() throws Exception;
    }

    static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static void equal(Object expected, Object actual, String what) {
        that(Objects.equals(expected, actual), what + ": expected " + expected + ", got " + actual);
    }

    /** Waits until it holds. */
    static void soon(Callable<Boolean> holds, String what) throws Exception {
        long end = System.nanoTime() + LIMIT_MS * 1_000_000;
        while (!holds.call()) {
            that(System.nanoTime() < end, "not within " + LIMIT_MS + " ms: " + what);
            Thread.sleep(10);
        }
    }

    static void fails(Class<? extends Exception> expected, Attempt attempt, String what) {
        try {
            attempt.run();
        } catch (Exception caught) {
            that(expected.isInstance(caught), what + ": expected " + expected.getSimpleName() + ", got " + caught);
            return;
        }
        throw new AssertionError(what + ": expected " + expected.getSimpleName() + ", but it succeeded");
    }
}
