// SPDX-License-Identifier: Apache-2.0
#include "common/report/report_style.h"

namespace ferment::report {

std::string_view ReportStyle() {
  return R"css(
:root{color-scheme:light dark;--page:#f6f5f2;--card:#fff;--ink:#1d2430;--muted:#6b7280;--line:#e3e1dc;--none:#d9d7d2;
--accent:#0f766e;--bad:#b42318;--good:#0f766e;--heat:15,118,110;
--k0:#8a94a6;--k1:#d1495b;--k2:#7a9e3f;--k3:#7b5ea7;--k4:#e9a820;--k5:#2e6fbb;--k6:#1fa3a3;--k7:#a9745b;
--s0:#0f766e;--s1:#d1495b;--s2:#2e6fbb;--s3:#d9901a;--s4:#7b5ea7;--s5:#8a94a6}
@media(prefers-color-scheme:dark){:root{--page:#12161c;--card:#1a2028;--ink:#e7e9ec;--muted:#98a2b0;--line:#2c343f;
--none:#333c48;--accent:#4fd1c0;--bad:#ff8a7a;--good:#4fd1c0;--heat:79,209,192;
--k0:#93a0b4;--k1:#ee6c7d;--k2:#9cc25b;--k3:#a88ad4;--k4:#f2bd4a;--k5:#5f9be6;--k6:#3fc9c4;--k7:#cf977c;
--s0:#4fd1c0;--s1:#ee6c7d;--s2:#5f9be6;--s3:#f2bd4a;--s4:#a88ad4;--s5:#93a0b4}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 16px 56px}
h1{font-size:30px;line-height:1.2;margin:0}h2{font-size:20px;margin:40px 0 4px}h3{font-size:15px;margin:0 0 10px}
p{margin:6px 0;max-width:72ch}.muted,figcaption{color:var(--muted);font-size:14px}
.status{display:inline-block;border-radius:99px;padding:2px 12px;font-size:14px;background:var(--good);color:var(--card)}
.status.bad{background:var(--bad)}.failure{border-left:4px solid var(--bad);padding:8px 14px;background:var(--card);
overflow-wrap:anywhere;white-space:pre-wrap;max-width:none}
.grid{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));margin-top:14px}
.wide{grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr))}
.heads{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,200px),1fr));margin-top:20px}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px;min-width:0;margin:0}
.big{font-size:34px;font-weight:650;line-height:1.1;font-variant-numeric:tabular-nums}
.head .what{font-size:14px;color:var(--muted)}.up{color:var(--good)}.down{color:var(--bad)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:7px 8px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;color:var(--muted)}th:first-child,td:first-child{text-align:left}
td.mark{text-align:center}tr.best td{font-weight:650}tr:last-child td{border-bottom:0}
.bar{display:inline-block;height:10px;border-radius:3px;background:var(--accent);vertical-align:middle}
td.barcell{width:34%;min-width:110px;text-align:left}
.confusion td{text-align:center;padding:7px 2px;border:1px solid var(--card);font-size:13px}
.confusion th{font-size:12px;padding:4px 2px;border:0;text-align:center}.confusion th:first-child{text-align:right}
svg{display:block;width:100%;height:auto}svg text{font-size:12px;fill:var(--muted)}
line.grid{stroke:var(--line)}line.zero{stroke:var(--muted)}
line.ideal{stroke:var(--muted);stroke-dasharray:4 4}.curve{fill:none;stroke-width:2;stroke-linejoin:round}
.legend{display:flex;flex-wrap:wrap;gap:4px 16px;font-size:14px;margin:8px 0}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;vertical-align:-1px}
.faces{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,240px),1fr));margin-top:14px}
.row{display:grid;grid-template-columns:repeat(4,1fr);gap:6px}.row figure{margin:0}
.row img{display:block;width:100%;aspect-ratio:1;object-fit:cover;border-radius:6px}.row figcaption{font-size:12px;text-align:center}
footer{margin-top:48px;color:var(--muted);font-size:13px;overflow-wrap:anywhere}
svg.strips text{font-size:7px}
@media(max-width:640px){table{font-size:12.5px}th{white-space:normal}th,td{padding:6px 3px}.heads{gap:10px;grid-template-columns:1fr 1fr}.big{font-size:25px}.ablation .barcell{display:none}svg.strips text{font-size:12px}
.confusion td,.confusion th{font-size:10px;padding:5px 0}.card{padding:12px}}
@media print{body{background:#fff}.card{break-inside:avoid}}
)css";
}

}  // namespace ferment::report
