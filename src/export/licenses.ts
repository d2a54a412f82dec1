/** The names that the Hugging Face Hub has for licences. It refuses a card with any other. */
const HUB_LICENSES = new Set(
  `apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0
  artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0
  cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
  cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0
  epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc intel-research
  lppl-1.3c ms-pl mpl-2.0 odc-by odbl osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr unknown other`.split(
    /\s+/,
  ),
);

/** The lines of a card's header that say the licence. Another name than those of the Hub is `other`, with its name. */
export function licenseLines(licenses: readonly string[]): string[] {
  if (licenses.length === 0) return [];
  const names = licenses.map((license) => license.trim().toLowerCase());
  const others = licenses.filter((_, at) => !HUB_LICENSES.has(names[at] ?? ""));
  const known = names.filter((name) => HUB_LICENSES.has(name));
  if (others.length === 0) return ["license:", ...[...new Set(known)].map((name) => `- ${name}`)];
  const slug = licenses
    .join("-")
    .toLowerCase()
    .replaceAll(/[^a-z0-9.]+/g, "-")
    .replaceAll(/^[-.]+|[-.]+$/g, "");
  return ["license: other", `license_name: ${slug.slice(0, 100) || "other"}`];
}
