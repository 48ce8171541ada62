// What operations do and what they wait for, in Chinese; in English they are told as the server tells them.
import { phrases } from '@/i18n/phrases';
import { language } from '@/state/look';

const texts: [string, string][] = [
  // Titles.
  ['create VM {vm}', '创建虚拟机 {vm}'],
  ['delete VM {vm}', '删除虚拟机 {vm}'],
  ['import VM {vm}', '导入虚拟机 {vm}'],
  ['change hardware of {vm}', '修改 {vm} 的硬件'],
  ['change network of {vm} to {ip}', '将 {vm} 的网络改为 {ip}'],
  ['set password of {user} on {vm}', '设置 {vm} 上 {user} 的密码'],
  ['repair {vm}', '修复 {vm}'],
  ['apply environment {name}', '部署环境 {name}'],
  ['delete environment {name}', '删除环境 {name}'],
  ['restore configuration {id} of {name}', '恢复 {name} 的配置 {id}'],
  ['apply {profile} to {name}', '对 {name} 执行配置 {profile}'],
  ['roll back {n} VMs of {name}', '回退 {name} 的 {n} 台虚拟机'],
  ['roll back {n} VMs', '回退 {n} 台虚拟机'],
  ['upgrade {n} VMs of {name} to the newest revision', '将 {name} 的 {n} 台虚拟机升级到最新版本'],
  ['upgrade {n} VMs to the newest revision', '将 {n} 台虚拟机升级到最新版本'],
  ['upgrade {n} VMs of {name} to revision {r}', '将 {name} 的 {n} 台虚拟机升级到版本 {r}'],
  ['upgrade {n} VMs to revision {r}', '将 {n} 台虚拟机升级到版本 {r}'],
  ['upgrade {copy} to its previous revision of {vm}', '将 {vm} 的 {copy} 回退到上一版本'],
  ['upgrade {copy} to {r} of {vm}', '将 {vm} 的 {copy} 升级到版本 {r}'],
  ['start all services of {n} VMs', '启动 {n} 台虚拟机的所有服务'],
  ['stop all services of {n} VMs', '停止 {n} 台虚拟机的所有服务'],
  ['restart all services of {n} VMs', '重启 {n} 台虚拟机的所有服务'],
  ['start {service} of {n} VMs', '启动 {n} 台虚拟机的 {service}'],
  ['stop {service} of {n} VMs', '停止 {n} 台虚拟机的 {service}'],
  ['restart {service} of {n} VMs', '重启 {n} 台虚拟机的 {service}'],
  ['start all services of {vm}', '启动 {vm} 的所有服务'],
  ['stop all services of {vm}', '停止 {vm} 的所有服务'],
  ['restart all services of {vm}', '重启 {vm} 的所有服务'],
  ['start {service} of {vm}', '启动 {vm} 的 {service}'],
  ['stop {service} of {vm}', '停止 {vm} 的 {service}'],
  ['restart {service} of {vm}', '重启 {vm} 的 {service}'],
  ['power on {vm}', '开机 {vm}'],
  ['power off {vm}', '关机 {vm}'],
  ['cut power of {vm}', '强制断电 {vm}'],
  ['reset {vm}', '强制重置 {vm}'],
  // Steps.
  ['check', '检查'],
  ['claim name and address', '占用名称与地址'],
  ['copy the template', '复制模板'],
  ['power on', '开机'],
  ['power off', '关机'],
  ['restart', '重启'],
  ['cut power of', '强制断电'],
  ['reset', '强制重置'],
  ['wait for VMware Tools', '等待 VMware Tools'],
  ['set the password', '设置密码'],
  ['set the network, where it is another', '必要时重新设置网络'],
  ['set the network', '设置网络'],
  ['install the agent', '安装代理'],
  ['start the agent', '启动代理'],
  ['wait for the agent', '等待代理'],
  ['finish', '收尾'],
  ['take it out of use', '停止使用'],
  ['delete it on its hypervisor', '在虚拟化主机上删除'],
  ['release name, address and identity', '释放名称、地址与身份'],
  ['change hardware', '修改硬件'],
  ['take it into the inventory', '纳入管理'],
  ['check the guest account', '检查客户机账号'],
  ['prepare the environment', '准备环境'],
  ['remove the environment', '移除环境'],
  ['check the address', '检查地址'],
  ['change the network', '修改网络'],
  ['note it in the inventory', '登记到清单'],
  ['look inside through VMware Tools', '通过 VMware Tools 查看客户机'],
  ['check dependencies', '检查依赖'],
  ['prepare files', '准备文件'],
  ['replace files, restart services, watch them', '替换文件、重启服务并观察'],
  ['record the configuration', '记录配置'],
  ['forget the old files', '清理旧文件'],
  ['look at working copies', '查看工作副本'],
  ['update', '更新'],
  ['restart services', '重启服务'],
  ['watch services', '观察服务'],
  ['start all services', '启动所有服务'],
  ['stop all services', '停止所有服务'],
  ['restart all services', '重启所有服务'],
  // What a step is at.
  ['is being done', '执行中'],
  ['delivered', '已送达'],
  ['sent', '已发送'],
  ['waits for the agent to come back', '等待代理重新连接'],
  ['waiting for the agent', '等待代理'],
  ['waiting for an answer to ping', '等待 ping 应答'],
  ['waiting for {ip} to answer', '等待 {ip} 应答'],
  ['waiting for VMware Tools in the guest', '等待客户机中的 VMware Tools'],
  ['waiting for the guest to shut down', '等待客户机关机'],
  ['waiting for the guest to go down', '等待客户机停机'],
  ['waiting for another task of the host on this VM', '等待主机上该虚拟机的另一任务'],
  ['waiting for other copies to datastore {name}, {n} before this one', '等待数据存储 {name} 上的其他复制,前面还有 {n} 个'],
  ['waiting until {disk} is no longer in use', '等待 {disk} 不再被占用'],
  ['the guest did not shut down in time; cutting power', '客户机未按时关机,强制断电'],
  ['setting it through VMware Tools', '通过 VMware Tools 设置'],
  ['sending {path}', '正在发送 {path}'],
  ['starting the agent', '正在启动代理'],
  ['creating {name} on {host}', '在 {host} 上创建 {name}'],
  ['copying disk {i} of {n} to {path}', '复制第 {i}/{n} 个磁盘到 {path}'],
  ['attaching the disks', '挂接磁盘'],
  ['registering the copy', '注册副本'],
  ['setting the hardware of the copy', '设置副本的硬件'],
  ['cloning {template} to {vm}', '将 {template} 克隆为 {vm}'],
  ['removing {vm} from {host}', '从 {host} 删除 {vm}'],
  // A step that names its services, last: it fits many.
  ['start {service}', '启动 {service}'],
  ['stop {service}', '停止 {service}'],
  ['restart {service}', '重启 {service}'],
];

const words = phrases(texts);

// "" for a text that has no words here.
export function inChinese(text: string): string {
  const whole = words(text);
  if (whole) return whole;
  // "step: what it is at".
  const colon = text.indexOf(': ');
  if (colon < 0) return '';
  const [step, detail] = [inChinese(text.slice(0, colon)), inChinese(text.slice(colon + 2))];
  return step && `${step}: ${detail || text.slice(colon + 2)}`;
}

// A title, a step or what it is at, in the reader's language.
export function told(text: string | undefined): string {
  return (language.value === 'zh-CN' && text && inChinese(text)) || (text ?? '');
}
