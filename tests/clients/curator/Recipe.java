/** One use of Curator, with assertions. */
interface Recipe {
    void run(Clients clients) throws Exception;
}
